// SPDX-License-Identifier: Apache-2.0
// What goes wrong on devices, on fakes whose memory and faults are the test's (support/fake_device.hpp): one line that
// says what is so, and a host that goes on. Each test case is a process of its own.
#include "support/catch.hpp"
#include "support/fake_device_host.hpp"

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

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

TEST_CASE("a prepared call with tensors on two devices is that error each time, and never the own forward") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const DeviceTensor x(cuda0, {1, 2, 3}), y(cuda1, {0, 0, 0});
  DLTensor in = x.view(), out = y.view();
  auto step = prepare(layer, in, out);
  for (int i = 0; i < 2; ++i) {
    CHECK_THAT(error_of([&] { step(); }), Contains("on several devices") && Contains("y float32[3] on cuda:1"));
  }
  CHECK(layer.own_calls == 0);
}

TEST_CASE("a device that is not there is an error that says how many there are") {
  const CudaEnvironment env;
  CHECK_THAT(error_of([] { Buffer(Device::cuda(7), 16); }),
             Contains("cuda:7") && Contains("layerhub/device-cuda@v1 has 2"));
  CHECK_THAT(error_of([] { Buffer(Device::rocm(), 16); }), Contains("no runtime for rocm devices is installed"));
}

TEST_CASE("the cpu is one device, and a text that names another of it lists what there is") {
  CHECK(parse_device("cpu:0") == Device::cpu());
  for (const char* text : {"xpu", "gpu", ""}) {
    CHECK_THAT(
        error_of([&] { parse_device(text); }),
        Contains("device `" + std::string(text) + "`: it is not known; name one of cpu, cuda, rocm, opencl, mps"));
  }
  for (const char* text : {"cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda:99999999999"}) {
    CHECK_THAT(error_of([&] { parse_device(text); }), Contains("device `" + std::string(text) + "`: ") &&
                                                          Contains("is no ordinal; write cuda:0 for the first"));
  }
  CHECK_THAT(error_of([] { parse_device("cpu:1"); }), Contains("there is one cpu; write cpu"));
  CHECK(device_info({kDLCPU, 1}).device == Device::cpu());
  CHECK(Buffer({kDLCUDAHost, 0}, 16).device() == Device::cpu());
  CHECK_THAT(error_of([] { native_handle(Device::cpu(), "any"); }), Contains("device cpu: it has no runtime"));
}

TEST_CASE("explain says that a device is missing, before a call and after the call that failed for it") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const Device absent = Device::cuda(7);
  for (const std::string& text : {explain(layer, {.device = absent}), explain_json(layer, {.device = absent})}) {
    CHECK_THAT(text, Contains("layerhub/device-cuda@v1 has 2") && !Contains("policy"));
  }
  CHECK_THAT(error_of([&] { kernelize(layer, {.device = absent, .fallback = Fallback::always}); }),
             Contains("layer `Scale`: device cuda:7: it is not there"));
  CHECK_THAT(explain(layer), Contains("on cuda:7, inference: an error, since nothing can be computed there") &&
                                 Contains("layerhub/device-cuda@v1 has 2"));
}

TEST_CASE("explain says that a device is lost") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const DeviceTensor x(cuda0, {1, 2, 3});
  control(cuda0).fault(0);
  CHECK_THROWS(x.read());
  CHECK_THAT(explain(layer, {.device = cuda0}), Contains("cuda:0 is lost: the fake faulted"));
}

TEST_CASE("explain refuses the mapped repository's other variants as variants, and other repositories by the mapping") {
  CudaEnvironment env;
  env.add("scale_cpu");
  env.add("scale_cuda_90");
  const DeviceScale layer;
  CHECK_THAT(explain(layer, {.device = cuda0}),
             Contains("- fakes/scale@v1 scale_cpu.so `fake`: layerhub1-cu130-x86_64-linux fits better") &&
                 Contains("- fakes/scale-90@v1 scale_cuda_90.so `fake`: the mapping names fakes/scale@v1"));
}

TEST_CASE("a layer that was found automatically, but not for a device, is told to install a variant for it") {
  TestEnvironment env;
  env.add("device_cuda");
  env.add("scale_cpu");
  const use_kernel_mapping scope(automatic_mapping());
  const DeviceScale layer;
  CHECK_THAT(explain(layer, {.device = cuda0}),
             Contains("device type `cuda`; install a variant of its plugin for this device"));
}

TEST_CASE("a device type that no plugin can serve is an error that says so, whichever repositories are allowed") {
  TestEnvironment env;
  env.add("device_cuda");
  env.add("scale_cpu");
  env.add("twice");
  set_device_plugins({"*"});
  const std::string reason = "no plugin can bring a runtime for devices of this type";
  CHECK_THAT(list_devices(kDLVulkan).reason, Contains(reason));
  CHECK_THAT(error_of([] { Buffer({kDLVulkan, 0}, 16); }), Contains("device DLPack type 7:0: " + reason));
}

TEST_CASE("a device plugin that is there but can't be used is an error with its own reason") {
  TestEnvironment env;
  env.add("device_cuda", [](Json& metadata) { metadata["layerhub"].erase("libraries"); });
  CHECK_THAT(error_of([] { Buffer(cuda0, 16); }),
             Contains("device cuda:0: ") && Contains("metadata.json") && Contains("libraries"));
  CHECK_THAT(list_devices(kDLCUDA).reason, Contains("metadata.json") && !Contains("is installed"));
}

TEST_CASE("a runtime without devices says why, and is no error until one is asked for") {
  TestEnvironment env;
  env.add("device_none");
  const DeviceList list = list_devices(kDLCUDA);
  CHECK(list.devices.empty());
  CHECK(list.reason == "no driver of the fake is installed");
  CHECK_THAT(error_of([] { Buffer(cuda0, 16); }), Contains("no driver of the fake is installed"));
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

TEST_CASE("a copy from a lost device names that one, and the device that it was for goes on") {
  const CudaEnvironment env;
  const DeviceScale layer;
  const DeviceTensor x(cuda0, {1, 2, 3}), y(cuda1, {0, 0, 0});
  control(cuda0).fault(0);
  CHECK_THROWS(x.read());
  CHECK_THAT(error_of([&] { copy(x.view(), y.view()); }), Contains("cuda:0 is lost"));
  CHECK(y.read() == std::vector<float>{0, 0, 0});
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

TEST_CASE("a copy is refused whose shape is negative or that has no memory") {
  const CudaEnvironment env;
  const DeviceTensor x(cuda0, {1, 2, 3});
  const Tensor host({0, 0, 0}), other({1, 2, 3});
  for (const DLTensor& from : {x.view(), as_dltensor(other)}) {
    std::int64_t negative = -3;
    DLTensor less = from, nowhere = from, to = as_dltensor(host);
    less.shape = to.shape = &negative;
    CHECK_THAT(error_of([&] { copy(less, to); }), Contains("copy from") && Contains("negative"));
    nowhere.data = nullptr;
    CHECK_THAT(error_of([&] { copy(nowhere, as_dltensor(host)); }), Contains("copy from") && Contains("no memory"));
  }
}

TEST_CASE("a copy between two shapes is refused with both") {
  const CudaEnvironment env;
  const DeviceTensor x(cuda0, {1, 2, 3}), y(cuda0, {1, 2});
  CHECK_THAT(error_of([&] { copy(x.view(), y.view()); }), Contains("their shapes differ, [3] and [2]"));
}

TEST_CASE("what a runtime does not have is unsupported, and the error says what it was asked for") {
  const CudaEnvironment env;
  try {
    native_handle(cuda0, "vulkan.queue");
    FAIL("the fake has a queue of another runtime");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::unsupported);
    CHECK_THAT(error.what(), Contains("cuda:0") && Contains("vulkan.queue"));
  }
}

TEST_CASE("the cpu has no streams") {
  CHECK_THAT(error_of([] { Stream stream(Device::cpu()); }), Contains("the cpu has none"));
}
