// SPDX-License-Identifier: Apache-2.0
// Layers on devices: which kernel a tensor's device gets and when its work runs. The devices are fakes whose streams
// run when they are told (support/fake_device.hpp); each test case is a process of its own.
#include "support/catch.hpp"
#include "support/fake_device_host.hpp"

#include <functional>
#include <memory>
#include <thread>

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

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

TEST_CASE("streams may go out of use in any order, and at the end of their thread") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const Stream first(cuda0), second(cuda0);
  const DeviceTensor x(cuda0, {1, 2, 3}), y(cuda0, {0, 0, 0});
  const auto call = [&] {
    DLTensor out = y.view();
    layer(x.view(), out);
  };
  auto outer = std::make_unique<use_stream>(first);
  auto inner = std::make_unique<use_stream>(second);
  outer.reset();
  call();
  CHECK(control(cuda0).waiting(fake(second)) == 1);
  inner.reset();
  std::thread([&] {
    static thread_local std::unique_ptr<use_stream> kept;  // made before all that use_stream may keep for the thread
    kept = std::make_unique<use_stream>(first);
    call();
  }).join();
  CHECK(control(cuda0).waiting(fake(first)) == 1);
  call();
  CHECK(control(cuda0).waiting(fake(first)) == 1);
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

// A call on the stream whose input, 12 bytes, is destroyed before the stream has run. `last`: while it is still there.
void call_and_destroy_input(const DeviceScale& layer, const Stream& stream, const DeviceTensor& y,
                            const std::function<void()>& last) {
  const DeviceTensor x(cuda0, {1, 2, 3});
  DLTensor out = y.view();
  const use_stream scope(stream);
  layer(x.view(), out);
  last();
}

TEST_CASE("a buffer that is destroyed under work goes back when the work has run") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const Stream stream(cuda0);
  const DeviceTensor y(cuda0, {0, 0, 0});
  const std::size_t before = control(cuda0).allocated(0);
  call_and_destroy_input(layer, stream, y, [] {});
  CHECK(control(cuda0).allocated(0) == before + 12);
  stream.synchronize();
  CHECK(control(cuda0).allocated(0) == before);
  CHECK(y.read() == std::vector<float>{5, 10, 15});
}

TEST_CASE("a buffer that is destroyed under work which no event can mark goes back after a wait for the work") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const Stream stream(cuda0);
  const DeviceTensor y(cuda0, {0, 0, 0});
  const std::size_t before = control(cuda0).allocated(0);
  call_and_destroy_input(layer, stream, y, [] { control(cuda0).refuse_events(0, true); });
  control(cuda0).refuse_events(0, false);
  CHECK(control(cuda0).waiting(fake(stream)) == 0);
  CHECK(control(cuda0).allocated(0) == before);
  CHECK(y.now(stream) == std::vector<float>{5, 10, 15});
}

TEST_CASE("buffers that are destroyed after their stream go back when the work that it was given has run") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const std::size_t before = control(cuda0).allocated(0);
  FakeStream* gone = nullptr;
  {
    const DeviceTensor x(cuda0, {1, 2, 3}), y(cuda0, {0, 0, 0});
    DLTensor out = y.view();
    const Stream stream(cuda0);
    const use_stream scope(stream);
    layer(x.view(), out);
    gone = fake(stream);
  }
  CHECK(control(cuda0).allocated(0) == before + 24);
  CHECK(control(cuda0).run(gone, 10) >= 1);
  Buffer(cuda0, 16);  // looks for what has passed
  CHECK(control(cuda0).allocated(0) == before);
}

TEST_CASE("a stream that was moved from is the stream still") {
  const CudaEnvironment env;
  Stream first(cuda0);
  const Stream second = std::move(first);
  CHECK(first.device() == cuda0);
  CHECK(first.native() == second.native());
  first.record().synchronize();
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

TEST_CASE("where a workspace can't grow ahead it grows to what the call needs") {
  TestEnvironment env;
  env.add("device_cuda");
  env.add("scale_workspace");
  register_kernel_mapping(scale_on("cuda", "fakes/workspace"));
  const DeviceScale layer;
  const DeviceTensor x(cuda0, std::vector<float>(100, 1)), y(cuda0, std::vector<float>(100));
  const DeviceTensor longer_x(cuda0, std::vector<float>(110, 1)), longer_y(cuda0, std::vector<float>(110));
  DLTensor out = y.view(), longer_out = longer_y.view();
  layer(x.view(), out);
  Stream::default_of(cuda0).synchronize();
  control(cuda0).limit_memory(0, control(cuda0).allocated(0) + 460);  // 440 are needed, half more than the 400 are 600
  layer(longer_x.view(), longer_out);
  CHECK(longer_y.read() == std::vector<float>(110, 8));
  CHECK(layer.own_calls == 0);
}

TEST_CASE("the current device of the thread is the tensors' while a kernel is called, and afterwards what it was") {
  const CudaEnvironment env;
  const DeviceScale layer;
  run_on(layer, cuda1);
  control(cuda0).set_current(0);
  run_on(layer, cuda1);
  CHECK(control(cuda0).current() == 0);
}

TEST_CASE("managed memory belongs to the device that manages it") {
  const CudaEnvironment env;
  CHECK(device_info({kDLCUDAManaged, 1}).device == cuda1);
  CHECK(Buffer({kDLCUDAManaged, 1}, 16).device() == cuda1);
  CHECK(Stream({kDLCUDAManaged, 1}).device() == cuda1);
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
