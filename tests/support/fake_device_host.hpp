// SPDX-License-Identifier: Apache-2.0
// The smallest host on the fake devices of fake_device.hpp: a layer, tensors in memory of a device, and a plugin
// directory with a runtime and a kernel.
#pragma once

#include "support/fake_device.hpp"
#include "support/test_environment.hpp"

#include <string>
#include <utility>
#include <vector>

namespace layerhub::testing {

inline const Device cuda0 = Device::cuda(0), cuda1 = Device::cuda(1);

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

inline std::vector<float> run_on(const DeviceScale& layer, Device device) {
  const DeviceTensor x(device, {1, 2, 3});
  const DeviceTensor y(device, {0, 0, 0});
  DLTensor out = y.view();
  layer(x.view(), out);
  return y.read();
}

inline LayerRepository from(const std::string& repo) {
  return {.repo_id = repo, .layer_name = "Scale", .revision = "v1"};
}

inline Mapping scale_on(const std::string& device, const std::string& repo = "fakes/scale") {
  return {{"Scale", {{device, from(repo)}}}};
}

inline FakeControl& control(Device device) { return *static_cast<FakeControl*>(native_handle(device, "fake.control")); }

inline FakeStream* fake(const Stream& stream) { return static_cast<FakeStream*>(stream.native()); }

struct CudaEnvironment : TestEnvironment {
  CudaEnvironment() {
    add("device_cuda");
    add("scale_cuda");
    register_kernel_mapping(scale_on("cuda"));
  }
};

}  // namespace layerhub::testing
