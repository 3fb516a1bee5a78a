// SPDX-License-Identifier: Apache-2.0
// What goes wrong on devices, with the runtimes and kernels of this project on emulated GPUs (support/gpu_emulator):
// one line that names the layer, the device and the tensors, and a host that goes on. Each test case is a process of
// its own, since a device that is lost stays lost.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

#include <cmath>
#include <functional>
#include <numeric>

using namespace layerhub;
using layerhub::testing::error_of;

namespace {

constexpr DLDataType f32{kDLFloat, 32, 1}, f16{kDLFloat, 16, 1}, u8{kDLUInt, 8, 1};

class DeviceTensor {
 public:
  DeviceTensor(Device device, DLDataType dtype, std::vector<std::int64_t> shape)
      : shape_(std::move(shape)),
        buffer_(device, static_cast<std::size_t>(std::accumulate(shape_.begin(), shape_.end(), dtype.bits / 8,
                                                                 std::multiplies<std::int64_t>()))),
        view{buffer_.data(),
             buffer_.dl_device(),
             static_cast<std::int32_t>(shape_.size()),
             dtype,
             shape_.data(),
             nullptr,
             0} {}

 private:
  std::vector<std::int64_t> shape_;
  Buffer buffer_;

 public:
  mutable DLTensor view;
};

// Layers of a host that has no forwards of its own for a device: it counts how often it is asked to.
struct SiluAndMul : use_kernel_forward_from_hub<SiluAndMul, "SiluAndMul"> {
  mutable int own_calls = 0;
  void forward(const DLTensor&, DLTensor&) const { ++own_calls; }
};
struct LayerNorm : use_kernel_forward_from_hub<LayerNorm, "LayerNorm"> {
  explicit LayerNorm(const DeviceTensor& w) : weight(w) {}
  const DeviceTensor& weight;
  auto hub_members() const { return members(param("weight", weight.view), attribute("variance_epsilon", 1e-5)); }
  void forward(const DLTensor&, DLTensor&) const {}
};
struct Linear : use_kernel_forward_from_hub<Linear, "Linear"> {
  explicit Linear(const DeviceTensor& w) : weight(w) {}
  const DeviceTensor& weight;
  auto hub_members() const { return members(param("weight", weight.view, "gguf.q8_0")); }
  void forward(const DLTensor&, DLTensor&) const {}
};
struct CausalAttention : use_kernel_forward_from_hub<CausalAttention, "CausalAttention"> {
  void forward(const DLTensor&, const DLTensor&, const DLTensor&, DLTensor&, DLTensor&, std::int64_t, float,
               DLTensor&) const {}
};

// The plugins for emulated devices, before them those of `first`.
void use_plugins(const std::vector<std::string>& first = {}) {
  std::vector<std::string> roots = first;
  roots.push_back(LAYERHUB_EMULATED_ROOT);
  set_plugin_roots(roots);
  std::vector<Mapping::LayerEntry> entries;
  for (const auto& [layer, repo] : {std::pair{"SiluAndMul", "layerhub/activation"},
                                    {"LayerNorm", "layerhub/norm"},
                                    {"Linear", "layerhub/linear"},
                                    {"CausalAttention", "layerhub/attention"}}) {
    const LayerRepository from{.repo_id = repo, .layer_name = layer, .revision = "v1"};
    entries.push_back({layer, {{"cuda", from}, {"rocm", from}}});
  }
  register_kernel_mapping(Mapping(entries));
}

// A call that works, to its end.
void call_silu(const SiluAndMul& layer, Device device) {
  const DeviceTensor x(device, f32, {2, 64}), y(device, f32, {2, 32});
  layer(x.view, y.view);
  Stream::default_of(device).synchronize();
}

// All memory of the device, but for gaps of less than a kilobyte.
std::vector<Buffer> take_memory(Device device) {
  std::vector<Buffer> taken;
  for (std::size_t bytes = device_info(device).free_memory; bytes >= 1024;) {
    try {
      taken.emplace_back(device, bytes);
    } catch (const Error& error) {
      REQUIRE(error.code() == ErrorCode::out_of_memory);
      bytes /= 2;
    }
  }
  return taken;
}

void check_says(const std::string& error, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    CHECK_THAT(error, Catch::Matchers::Contains(part));
  }
}

const Device cuda0 = Device::cuda(0), cuda1 = Device::cuda(1), rocm0 = Device::rocm(0), rocm1 = Device::rocm(1);

}  // namespace

TEST_CASE("a kernel that faults loses its device alone, whose every later use names the device and the fault") {
  use_plugins({LAYERHUB_EMULATED_ROOT "-wrong"});
  for (const auto& [broken, other, fault] :
       {std::tuple{cuda0, cuda1, "cudaErrorLaunchFailure"}, std::tuple{rocm0, rocm1, "hipErrorLaunchFailure"}}) {
    const SiluAndMul silu;
    const DeviceTensor x(broken, f32, {2, 64}), y(broken, f32, {2, 64}), weight(broken, f32, {64});
    const LayerNorm norm(weight);
    const Stream stream(broken);
    const Event event = stream.record();
    call_silu(silu, broken);
    norm(x.view, y.view);  // enqueues what will fault
    const std::function<void()> uses[] = {[&] { Stream::default_of(broken).synchronize(); },
                                          [&] { stream.synchronize(); },
                                          [&] { stream.record(); },
                                          [&] { stream.wait(event); },
                                          [&] { event.synchronize(); },
                                          [&] { Buffer(broken, 64); },
                                          [&] { Stream another(broken); },
                                          [&] { copy(x.view, y.view); },
                                          [&] { device_info(broken); }};
    for (const auto& use : uses) {
      check_says(error_of(use), {to_string(broken) + " is lost: ", fault, "other devices go on"});
    }
    check_says(error_of([&] { norm(x.view, y.view); }),
               {"layer `LayerNorm` on " + to_string(broken), "device lost", fault,
                "hidden_states float32[2, 64] on " + to_string(broken)});
    const DeviceTensor elsewhere(other, f32, {2, 64});
    check_says(error_of([&] { copy(x.view, elsewhere.view); }), {to_string(broken) + " is lost: ", fault});
    call_silu(silu, other);
    const DeviceList list = list_devices(broken.type);
    REQUIRE(list.devices.size() == 2);
    check_says(list.devices[0].name, {"is lost: ", fault});
    CHECK(list.devices[0].capability == 0);
    CHECK(list.devices[1].device == other);
    CHECK(list.devices[1].free_memory > 0);
    CHECK(silu.own_calls == 0);
  }
}

// To pack is to enqueue: the weight is whole when the layer is bound, whichever stream the next call is on.
TEST_CASE("what a kernel makes of a weight when its layer is bound is there for calls on every stream") {
  use_plugins();
  for (const Device device : {cuda0, rocm0}) {
    const DeviceTensor weight(device, u8, {64, 34}), x(device, f32, {1, 32});
    std::vector<std::uint8_t> blocks(64 * 34, 0x2c);  // every scale is 0x2c2c, every number 44
    std::vector<float> ones(32, 1);
    const auto on_host = [](auto& values, const DeviceTensor& like) {
      DLTensor host = like.view;
      host.data = values.data();
      host.device = {kDLCPU, 0};
      return host;
    };
    const auto result_on = [&](const Linear& linear, const Stream& stream) {
      const DeviceTensor y(device, f32, {1, 64});
      const use_stream scope(stream);
      linear(x.view, y.view);
      std::vector<float> results(64);
      copy(y.view, on_host(results, y), &stream);
      stream.synchronize();
      return results;
    };
    const Stream first(device), second(device);
    copy(on_host(blocks, weight), weight.view, &first);
    copy(on_host(ones, x), x.view, &first);
    first.synchronize();
    const Linear bound_by_call(weight), bound_before(weight);
    const std::vector<float> results = result_on(bound_by_call, first);
    CHECK(results == std::vector<float>(64, results[0]));
    CHECK(results[0] == Approx(32 * 44 * 0.065185546875));
    kernelize(bound_before, {.device = device, .fallback = Fallback::never});
    CHECK(result_on(bound_before, second) == results);
    CHECK(result_on(bound_by_call, second) == results);
  }
}

// A gradient of the weight is a sum over rows, which goes through the workspace of the stream.
TEST_CASE("forward and backward in training run on the stream in use, with memory of their device") {
  use_plugins();
  constexpr std::int64_t rows = 300, width = 64;
  constexpr double epsilon = 1e-5;
  std::vector<float> x(rows * width), grad_y(rows * width), weight(width, 2);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(i % 7) - 3;
    grad_y[i] = static_cast<float>(i % 5) - 1;
  }
  std::vector<double> expected(width);  // of y = weight (x - mean) / sqrt(variance + epsilon)
  for (std::size_t row = 0; row < rows; ++row) {
    const float* values = &x[row * width];
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < width; ++i) {
      mean += values[i] / double{width};
      square += double{values[i]} * values[i] / double{width};
    }
    for (std::size_t i = 0; i < width; ++i) {
      expected[i] += grad_y[row * width + i] * (values[i] - mean) / std::sqrt(square - mean * mean + epsilon);
    }
  }
  for (const Device device : {cuda0, cuda1, rocm0}) {
    INFO(to_string(device));
    const Stream stream(device);
    const use_stream scope(stream);
    const DeviceTensor input(device, f32, {rows, width}), output(device, f32, {rows, width}), w(device, f32, {width}),
        grad_out(device, f32, {rows, width}), grad_in(device, f32, {rows, width}), grad_weight(device, f32, {width});
    const auto send = [&](std::vector<float>& values, const DeviceTensor& to) {
      DLTensor host = to.view;
      host.data = values.data();
      host.device = {kDLCPU, 0};
      copy(host, to.view);
    };
    send(x, input);
    send(grad_y, grad_out);
    send(weight, w);
    const LayerNorm norm(w);
    Saved saved;
    norm(saved, input.view, output.view);
    norm.backward(saved, grad_out.view, grad_in.view, param_gradient("weight", grad_weight.view));
    std::vector<float> got(width);
    DLTensor host = grad_weight.view;
    host.data = got.data();
    host.device = {kDLCPU, 0};
    copy(grad_weight.view, host);
    stream.synchronize();
    for (std::size_t i = 0; i < width; ++i) {
      CHECK(got[i] == Approx(expected[i]).margin(1e-2));
    }
    const DeviceTensor elsewhere(Device::cpu(), f32, {rows, width});
    check_says(error_of([&] { norm(saved, input.view, elsewhere.view); }),
               {"layer `LayerNorm` on " + to_string(device), "on several devices", "copy them to one"});
  }
}

TEST_CASE("memory of a device that is exhausted is an error of each who asks, and is there again once released") {
  use_plugins();
  for (const Device device : {cuda0, rocm0}) {
    const std::string name = to_string(device);
    const SiluAndMul silu;
    check_says(error_of([&] { Buffer(device, std::size_t{1} << 40); }),
               {name + ": allocating 1099511627776 bytes failed (out of memory)"});

    const DeviceTensor packed(device, u8, {64, 34 * 64});
    const Linear linear(packed);
    {
      const std::vector<Buffer> all = take_memory(device);
      check_says(error_of([&] { kernelize(linear, {.device = device, .fallback = Fallback::never}); }),
                 {"layer `Linear` on " + name, "(out of memory)", "weight uint8[64, 2176] on " + name});
    }
    Stream::default_of(device).synchronize();  // memory goes back when the streams have passed
    kernelize(linear, {.device = device, .fallback = Fallback::never});

    const CausalAttention attention;
    const std::int64_t depth = 500;
    const DeviceTensor q(device, f16, {1, 8, 64}), k(device, f16, {1, 1, 64}), v(device, f16, {1, 1, 64}),
        k_cache(device, f16, {depth, 1, 64}), v_cache(device, f16, {depth, 1, 64}), output(device, f16, {1, 8, 64});
    const auto attend = [&] {
      attention(q.view, k.view, v.view, k_cache.view, v_cache.view, depth - 1, 0.125f, output.view);
    };
    {
      const std::vector<Buffer> all = take_memory(device);
      check_says(error_of(attend),
                 {"layer `CausalAttention` on " + name, "(out of memory)", "k_cache float16[500, 1, 64] on " + name});
    }
    Stream::default_of(device).synchronize();
    attend();
    call_silu(silu, device);
  }
}

TEST_CASE("tensors on two devices in one call are an error that names each, whichever the devices are") {
  use_plugins();
  for (const auto& [here, there] : {std::pair{cuda0, cuda1}, std::pair{cuda0, rocm0}, std::pair{cuda0, Device::cpu()},
                                    std::pair{rocm1, rocm0}, std::pair{rocm0, cuda1}}) {
    const SiluAndMul silu;
    const DeviceTensor x(here, f32, {2, 64}), y(there, f32, {2, 32});
    for (int i = 0; i < 2; ++i) {  // the call that binds, and one of a bound layer
      check_says(error_of([&] { silu(x.view, y.view); }),
                 {"layer `SiluAndMul` on " + to_string(here), "x float32[2, 64] on " + to_string(here),
                  "y float32[2, 32] on " + to_string(there), "copy them to one"});
    }
    CHECK(silu.own_calls == 0);
    call_silu(silu, here);
  }
}

TEST_CASE("a weight on another device than the tensors is an error that names layer, weight and both devices") {
  use_plugins();
  for (const auto& [here, there] :
       {std::pair{cuda0, cuda1}, std::pair{rocm0, cuda0}, std::pair{cuda1, Device::cpu()}}) {
    const DeviceTensor weight(there, u8, {64, 34}), x(here, f32, {1, 32}), y(here, f32, {1, 64});
    const Linear linear(weight);
    check_says(error_of([&] { linear(x.view, y.view); }),
               {"layer `Linear`", "`weight` is on " + to_string(there), to_string(here), "move it there"});
  }
}

TEST_CASE("a stream of another device is refused where a call or a copy would go to it") {
  use_plugins();
  for (const auto& [here, there] : {std::pair{cuda0, cuda1}, std::pair{rocm0, rocm1}}) {
    const Stream stream(there);
    check_says(error_of([&] { Stream::borrow(here, stream.native()); }), {"ordinal 1", "not of " + to_string(here)});
    const DeviceTensor x(here, f32, {64}), y(here, f32, {64});
    check_says(error_of([&] { copy(x.view, y.view, &stream); }), {"the stream is of " + to_string(there)});
    const use_stream scope(stream);  // for its own device: nothing to calls on the other
    const SiluAndMul silu;
    call_silu(silu, here);
    CHECK(silu.own_calls == 0);
  }
}

TEST_CASE("a device that is not there is an error that names it and the layer, and says how many there are") {
  use_plugins();
  for (const auto& [missing, runtime] : {std::pair{Device::cuda(2), "layerhub/device-cuda@v1 has 2"},
                                         std::pair{Device::rocm(9), "layerhub/device-rocm@v1 has 2"}}) {
    const std::string name = to_string(missing);
    check_says(error_of([&] { Buffer(missing, 64); }), {name, runtime});
    check_says(error_of([&] { Stream stream(missing); }), {name, runtime});
    check_says(error_of([&] { device_info(missing); }), {name, runtime});
    const SiluAndMul silu;
    check_says(error_of([&] { kernelize(silu, {.device = missing}); }), {"layer `SiluAndMul`", name, runtime});
    const DeviceTensor x(Device::cpu(), f32, {2, 64}), y(Device::cpu(), f32, {2, 32});
    DLTensor lost_x = x.view, lost_y = y.view;
    lost_x.device = lost_y.device = {missing.type, missing.ordinal};
    check_says(error_of([&] { silu(lost_x, lost_y); }), {"layer `SiluAndMul`", name, runtime});
    CHECK(silu.own_calls == 0);
    call_silu(silu, {missing.type, 0});
  }
}
