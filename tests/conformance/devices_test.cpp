// SPDX-License-Identifier: Apache-2.0
// Layers on devices: which kernel a tensor's device gets, when its work runs, and what goes wrong there. The devices
// are fakes whose streams run when they are told (support/fake_device.hpp); each test case is a process of its own.
#include "support/catch.hpp"
#include "support/fake_device.hpp"
#include "support/test_environment.hpp"

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

namespace {

const Device cuda0 = Device::cuda(0), cuda1 = Device::cuda(1);

// A layer of a host whose tensors are DLTensors. Its own forward only counts.
struct DeviceScale : use_kernel_forward_from_hub<DeviceScale, "Scale"> {
  mutable int own_calls = 0;
  void forward(const DLTensor&, DLTensor&) const { ++own_calls; }
};

class DeviceTensor {
 public:
  DeviceTensor(Device device, std::vector<float> values)
      : buffer_(device, values.size() * sizeof(float)), shape_(static_cast<std::int64_t>(values.size())) {
    const Tensor host(std::move(values));
    copy(as_dltensor(host), view());
    if (device != Device::cpu()) {
      Stream::default_of(device).synchronize();
    }
  }
  DLTensor view() const { return {buffer_.data(), buffer_.dl_device(), 1, {kDLFloat, 32, 1}, &shape_, nullptr, 0}; }
  // Without waiting for anything: what the device's memory holds now.
  std::vector<float> now(Stream through) const {
    Tensor host(std::vector<float>(static_cast<std::size_t>(shape_)));
    copy(view(), as_dltensor(host), &through);
    through.synchronize();
    return host.values;
  }
  std::vector<float> read() const {
    if (buffer_.device() != Device::cpu()) {
      return now(Stream::default_of(buffer_.device()));
    }
    const auto* values = static_cast<const float*>(buffer_.data());
    return {values, values + shape_};
  }

 private:
  Buffer buffer_;
  mutable std::int64_t shape_;
};

std::vector<float> run_on(const DeviceScale& layer, Device device) {
  const DeviceTensor x(device, {1, 2, 3});
  const DeviceTensor y(device, {0, 0, 0});
  DLTensor out = y.view();
  layer(x.view(), out);
  return y.read();
}

LayerRepository from(const std::string& repo) { return {.repo_id = repo, .layer_name = "Scale", .revision = "v1"}; }

Mapping scale_on(const std::string& device, const std::string& repo = "fakes/scale") {
  return {{"Scale", {{device, from(repo)}}}};
}

FakeControl& control(Device device) { return *static_cast<FakeControl*>(native_handle(device, "fake.control")); }

FakeStream* fake(const Stream& stream) { return static_cast<FakeStream*>(stream.native()); }

struct CudaEnvironment : TestEnvironment {
  CudaEnvironment() {
    add("device_cuda");
    add("scale_cuda");
    register_kernel_mapping(scale_on("cuda"));
  }
};

}  // namespace

TEST_CASE("one layer with an entry for each device type runs what its tensor's device asks for") {
  TestEnvironment env;
  for (const char* plugin :
       {"device_cuda", "device_rocm", "device_opencl", "scale_cuda", "scale_rocm", "scale_opencl", "scale_cpu"}) {
    env.add(plugin);
  }
  const LayerRepository scale = from("fakes/scale");
  register_kernel_mapping({{"Scale", {{"cuda", scale}, {"rocm", scale}, {"opencl", scale}, {"cpu", scale}}}});
  const DeviceScale layer;
  CHECK(run_on(layer, Device::cpu()) == std::vector<float>{4, 8, 12});
  CHECK(run_on(layer, Device::cuda()) == std::vector<float>{5, 10, 15});
  CHECK(run_on(layer, Device::rocm()) == std::vector<float>{6, 12, 18});
  CHECK(run_on(layer, Device::opencl()) == std::vector<float>{7, 14, 21});
  CHECK(run_on(layer, Device::cpu()) == std::vector<float>{4, 8, 12});
  CHECK(layer.own_calls == 0);
}

TEST_CASE("two devices of one type and different capability get what fits each") {
  TestEnvironment env;
  for (const char* plugin : {"device_cuda", "scale_cuda", "scale_cuda_90"}) {
    env.add(plugin);
  }
  register_kernel_mapping({{"Scale",
                            {{MappedDevice{"cuda", CudaProperties{{80, 89}}}, from("fakes/scale")},
                             {MappedDevice{"cuda", CudaProperties{{90, 99}}}, from("fakes/scale-90")}}}});
  const DeviceScale layer;
  CHECK(run_on(layer, cuda0) == std::vector<float>{5, 10, 15});
  CHECK(run_on(layer, cuda1) == std::vector<float>{50, 100, 150});
  CHECK(run_on(layer, cuda0) == std::vector<float>{5, 10, 15});
}

TEST_CASE("a kernel for a higher capability than the device has is not bound there") {
  TestEnvironment env;
  env.add("device_cuda");
  env.add("scale_cuda_90");
  register_kernel_mapping(scale_on("cuda", "fakes/scale-90"));
  const DeviceScale layer;
  CHECK_THAT(error_of([&] { run_on(layer, cuda0); }), Contains("capability"));
  CHECK(run_on(layer, cuda1) == std::vector<float>{50, 100, 150});
}

TEST_CASE("an automatic mapping takes the kernels of every device type") {
  TestEnvironment env;
  for (const char* plugin : {"device_cuda", "scale_cuda", "scale_cpu"}) {
    env.add(plugin);
  }
  const use_kernel_mapping scope(automatic_mapping());
  const DeviceScale layer;
  CHECK(run_on(layer, cuda0) == std::vector<float>{5, 10, 15});
  CHECK(run_on(layer, Device::cpu()) == std::vector<float>{4, 8, 12});
}

TEST_CASE("a call on a device returns before its work has run, and goes to the stream in use") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const Stream first(cuda0), second(cuda0);
  const DeviceTensor x(cuda0, {1, 2, 3}), y(cuda0, {0, 0, 0});
  DLTensor out = y.view();
  {
    const use_stream scope(first);
    layer(x.view(), out);
    CHECK(control(cuda0).waiting(fake(first)) == 1);
    {
      const use_stream inner(second);
      layer(x.view(), out);
    }
    layer(x.view(), out);
  }
  CHECK(control(cuda0).waiting(fake(first)) == 2);
  CHECK(control(cuda0).waiting(fake(second)) == 1);
  CHECK(y.read() == std::vector<float>{0, 0, 0});
  first.synchronize();
  CHECK(y.read() == std::vector<float>{5, 10, 15});
}

TEST_CASE("an event is done when what was before it in its stream has run, and another stream may wait for it") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const Stream producer(cuda0), consumer(cuda0);
  const DeviceTensor x(cuda0, {1, 2, 3}), middle(cuda0, {0, 0, 0}), y(cuda0, {0, 0, 0});
  DLTensor between = middle.view(), out = y.view();
  const Event begin = producer.record();
  {
    const use_stream scope(producer);
    layer(x.view(), between);
  }
  const Event produced = producer.record();
  consumer.wait(produced);
  {
    const use_stream scope(consumer);
    layer(between, out);
  }
  CHECK(begin.done());
  CHECK_FALSE(produced.done());
  CHECK(control(cuda0).run(fake(consumer), 10) == 0);
  CHECK(control(cuda0).run(fake(producer), 10) == 2);
  CHECK(produced.done());
  CHECK(seconds_between(begin, produced) == Approx(0.001));
  consumer.synchronize();
  CHECK(y.read() == std::vector<float>{25, 50, 75});
}

TEST_CASE("a binding that is replaced lives until its stream's work has run") {
  CudaEnvironment env;
  env.add("scale_workspace");
  DeviceScale layer;
  const Stream stream(cuda0);
  const DeviceTensor x(cuda0, {1, 2, 3}), y(cuda0, {0, 0, 0});
  DLTensor out = y.view();
  const use_stream scope(stream);
  layer(x.view(), out);
  register_kernel_mapping(scale_on("cuda", "fakes/workspace"), false);
  rebind(layer);
  CHECK(control(cuda0).waiting(fake(stream)) >= 1);  // the old kernel's, whose instance must not be poisoned yet
  stream.synchronize();
  CHECK(y.now(stream) == std::vector<float>{5, 10, 15});
  layer(x.view(), out);
  CHECK(y.now(stream) == std::vector<float>{8, 16, 24});
}

TEST_CASE("a layer that is destroyed right after a call leaves the work whole") {
  const CudaEnvironment env;
  const Stream stream(cuda0);
  const DeviceTensor x(cuda0, {1, 2, 3}), y(cuda0, {0, 0, 0});
  DLTensor out = y.view();
  {
    const use_stream scope(stream);
    const DeviceScale layer;
    layer(x.view(), out);
  }
  CHECK(y.now(stream) == std::vector<float>{5, 10, 15});
}

TEST_CASE("a buffer that is destroyed under work goes back when the work has run") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const Stream stream(cuda0);
  const DeviceTensor y(cuda0, {0, 0, 0});
  DLTensor out = y.view();
  const std::size_t before = control(cuda0).allocated(0);
  {
    const DeviceTensor x(cuda0, {1, 2, 3});
    const use_stream scope(stream);
    layer(x.view(), out);
  }
  CHECK(control(cuda0).allocated(0) == before + 12);
  stream.synchronize();
  CHECK(control(cuda0).allocated(0) == before);
  CHECK(y.read() == std::vector<float>{5, 10, 15});
}

TEST_CASE("a kernel's workspace is its stream's: calls that wait on two streams do not share it") {
  TestEnvironment env;
  env.add("device_cuda");
  env.add("scale_workspace");
  register_kernel_mapping(scale_on("cuda", "fakes/workspace"));
  const DeviceScale layer;
  const Stream first(cuda0), second(cuda0);
  const DeviceTensor a(cuda0, {1, 2, 3}), b(cuda0, {10, 20, 30}), from_a(cuda0, {0, 0, 0}), from_b(cuda0, {0, 0, 0});
  const auto call = [&](const Stream& stream, const DeviceTensor& x, const DeviceTensor& y) {
    const use_stream scope(stream);
    DLTensor out = y.view();
    layer(x.view(), out);
  };
  call(first, a, from_a);
  call(second, b, from_b);
  CHECK(control(cuda0).run(fake(first), 1) == 1);
  CHECK(control(cuda0).run(fake(second), 2) == 2);
  first.synchronize();
  CHECK(from_a.read() == std::vector<float>{8, 16, 24});
  CHECK(from_b.read() == std::vector<float>{80, 160, 240});
}

TEST_CASE("the current device of the thread is the tensors' while a kernel is called, and afterwards what it was") {
  const CudaEnvironment env;
  const DeviceScale layer;
  run_on(layer, cuda1);
  control(cuda0).set_current(0);
  run_on(layer, cuda1);
  CHECK(control(cuda0).current() == 0);
}

TEST_CASE("tensors on two devices in one call are an error that names the layer and where each tensor is") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const DeviceTensor x(cuda0, {1, 2, 3}), y(cuda1, {0, 0, 0});
  DLTensor out = y.view();
  const std::string error = error_of([&] { layer(x.view(), out); });
  CHECK_THAT(error, Contains("layer `Scale` on cuda:0") && Contains("x float32[3] on cuda:0") &&
                        Contains("y float32[3] on cuda:1") && Contains("copy them"));
  CHECK(layer.own_calls == 0);
}

TEST_CASE("a device that is not there is an error that says how many there are") {
  const CudaEnvironment env;
  CHECK_THAT(error_of([] { Buffer(Device::cuda(7), 16); }),
             Contains("cuda:7") && Contains("layerhub/device-cuda@v1 has 2"));
  CHECK_THAT(error_of([] { Buffer(Device::rocm(), 16); }), Contains("no runtime for rocm devices is installed"));
}

TEST_CASE("a runtime without devices says why, and is no error until one is asked for") {
  TestEnvironment env;
  env.add("device_none");
  const DeviceList list = list_devices(kDLCUDA);
  CHECK(list.devices.empty());
  CHECK(list.reason == "no driver of the fake is installed");
  CHECK_THAT(error_of([] { Buffer(cuda0, 16); }), Contains("no driver of the fake is installed"));
}

TEST_CASE("a device plugin is found when it is dropped in under a running host") {
  TestEnvironment env;
  CHECK(list_devices(kDLCUDA).devices.empty());
  env.add("device_cuda");
  const DeviceList list = list_devices(kDLCUDA);
  REQUIRE(list.devices.size() == 2);
  CHECK(list.devices[1].capability == 90);
  CHECK(list.devices[1].name == "fake 1");
}

TEST_CASE("two runtimes for one device type are an error that names both") {
  TestEnvironment env;
  env.add("device_cuda");
  env.add("device_second");
  CHECK_THAT(error_of([] { device_info(cuda0); }),
             Contains("layerhub/device-cuda@v1") && Contains("layerhub/device-second@v1"));
  set_device_plugins({"layerhub/device-second"});
  CHECK(device_info(cuda0).capability == 80);
}

TEST_CASE("a repository outside of the allow list brings no runtime") {
  TestEnvironment env;
  env.add("device_cuda", [](Json& metadata) { metadata["layerhub"]["repo"] = "somebody/device-cuda"; });
  CHECK(list_devices(kDLCUDA).devices.empty());
}

TEST_CASE("exhausted memory is an error that names the device and the size, and the host goes on") {
  const CudaEnvironment env;
  control(cuda0).limit_memory(0, 1000);
  CHECK_THAT(error_of([] { Buffer(cuda0, 2000); }),
             Contains("cuda:0") && Contains("2000 bytes") && Contains("out of memory") && Contains("1000 bytes left"));
  const DeviceScale layer;
  CHECK(run_on(layer, cuda0) == std::vector<float>{5, 10, 15});
}

TEST_CASE("a kernel that runs out of memory is an error that names layer, device and tensors") {
  TestEnvironment env;
  env.add("device_cuda");
  env.add("scale_no_memory");
  register_kernel_mapping(scale_on("cuda", "fakes/no-memory"));
  const DeviceScale layer;
  CHECK_THAT(error_of([&] { run_on(layer, cuda0); }),
             Contains("layer `Scale` on cuda:0") && Contains("out of memory") && Contains("the kernel found no room") &&
                 Contains("x float32[3] on cuda:0"));
}

TEST_CASE("a fault loses its device for good, and the other devices go on") {
  const CudaEnvironment env;
  const DeviceScale layer;
  CHECK(run_on(layer, cuda0) == std::vector<float>{5, 10, 15});
  control(cuda0).fault(0);
  CHECK_THAT(error_of([&] { run_on(layer, cuda0); }), Contains("cuda:0 is lost: the fake faulted"));
  CHECK_THAT(error_of([&] { run_on(layer, cuda0); }), Contains("cuda:0 is lost"));
  CHECK(run_on(layer, cuda1) == std::vector<float>{5, 10, 15});
  CHECK(run_on(layer, cuda1) == std::vector<float>{5, 10, 15});
}

TEST_CASE("a call on a lost device is an error that names layer, device and cause") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const DeviceTensor x(cuda0, {1, 2, 3}), y(cuda0, {0, 0, 0});
  DLTensor out = y.view();
  layer(x.view(), out);
  control(cuda0).fault(0);
  CHECK_THROWS(Stream::default_of(cuda0).synchronize());
  CHECK_THAT(error_of([&] { layer(x.view(), out); }),
             Contains("layer `Scale` on cuda:0") && Contains("device lost") && Contains("the fake faulted"));
}

TEST_CASE("a stream of another device is refused") {
  const CudaEnvironment env;
  const Stream stream(cuda1);
  CHECK_THAT(error_of([&] { Stream::borrow(cuda0, stream.native()); }), Contains("not of cuda:0"));
  const DeviceTensor x(cuda0, {1}), y(cuda0, {2});
  CHECK_THAT(error_of([&] { copy(x.view(), y.view(), &stream); }), Contains("the stream is of cuda:1"));
}

TEST_CASE("copies go between the host, devices of one type and devices of two types") {
  CudaEnvironment env;
  env.add("device_opencl");
  const DeviceTensor a(cuda0, {1, 2, 3}), b(cuda1, {0, 0, 0}), c(Device::opencl(), {0, 0, 0});
  copy(a.view(), b.view());
  CHECK(b.now(Stream::default_of(cuda1)) == std::vector<float>{1, 2, 3});
  copy(b.view(), c.view());
  CHECK(c.read() == std::vector<float>{1, 2, 3});
}

TEST_CASE("where memory is named by handles, tensors overlap within one buffer alone") {
  TestEnvironment env;
  env.add("device_opencl");
  env.add("scale_opencl");
  register_kernel_mapping(scale_on("opencl"));
  const DeviceScale layer;
  const Buffer buffer(Device::opencl(), 64);
  std::int64_t n = 4;
  const auto view = [&](std::uint64_t offset) {
    return DLTensor{buffer.data(), buffer.dl_device(), 1, {kDLFloat, 32, 1}, &n, nullptr, offset};
  };
  DLTensor apart = view(16), overlapping = view(8);
  layer(view(0), apart);
  CHECK(layer.own_calls == 0);
  layer(view(0), overlapping);  // refused by the rule that nothing written may overlap
  CHECK(layer.own_calls == 1);
  // The handles of two buffers may be closer together than their sizes.
  const DeviceTensor x(Device::opencl(), std::vector<float>(1000)), y(Device::opencl(), std::vector<float>(1000));
  DLTensor out = y.view();
  layer(x.view(), out);
  CHECK(layer.own_calls == 1);
}

TEST_CASE("the cpu has no streams") {
  CHECK_THAT(error_of([] { Stream stream(Device::cpu()); }), Contains("the cpu has none"));
}
