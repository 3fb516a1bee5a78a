// SPDX-License-Identifier: Apache-2.0
// The first device of a type, driven through the runtime of a built device plugin without the loader: what tests of
// kernels run on where they are not for the cpu.
#pragma once

#include <layerhub/abi/device.h>

#include <cstddef>
#include <string>
#include <vector>

namespace layerhub::testing {

class TestDevice {
 public:
  // nullptr for the cpu, and where there is no such device; then `why` says so.
  static TestDevice* find(std::int32_t device_type, std::string* why = nullptr);

  DLDevice device() const { return {static_cast<DLDeviceType>(runtime_.device_type), 0}; }
  void* stream() const { return stream_; }
  lh_device_info info() const;

  // Throw std::runtime_error with the runtime's text.
  void* allocate(std::size_t bytes) const;
  void release(void* memory) const;
  void upload(void* memory, const std::byte* from, std::size_t bytes) const;
  void download(std::byte* to, void* memory, std::size_t bytes) const;  // after all that the stream was given

 private:
  explicit TestDevice(const lh_device_1& runtime);
  static TestDevice* open(std::int32_t device_type, std::string& why);

  const lh_device_1& runtime_;
  void* stream_ = nullptr;
};

}  // namespace layerhub::testing
