// SPDX-License-Identifier: Apache-2.0
// The first device of a type, driven through the runtime of a built device plugin without the loader: what tests of
// kernels run on where they are not for the cpu. Device plugin and kernels are of one plugin directory, since there may
// be a real device and an emulated one of the same type.
#pragma once

#include <layerhub/abi/device.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace layerhub::testing {

class TestDevice {
 public:
  // The device that the runtimes of this plugin directory have. nullptr for the cpu, and where there is none; then
  // `why` says so.
  static const TestDevice* find(const std::string& root, std::int32_t device_type, std::string& why);

  DLDevice device() const { return {static_cast<DLDeviceType>(runtime_.device_type), 0}; }
  void* stream() const { return stream_; }
  lh_device_info info() const;

  // Throw std::runtime_error with the runtime's text.
  void* allocate(std::size_t bytes) const;
  void release(void* memory) const;
  void upload(void* memory, const std::byte* from, std::size_t bytes) const;
  void download(std::byte* to, void* memory, std::size_t bytes) const;  // after all that the stream was given

  // What `run` gives the stream, recorded instead of run; replay() runs it. nullptr where something in it can't be
  // recorded; then `why` says what.
  bool can_capture() const { return runtime_.capture_begin != nullptr; }
  std::shared_ptr<void> capture(const std::function<void()>& run, std::string& why) const;
  void replay(const std::shared_ptr<void>& graph) const;

 private:
  explicit TestDevice(const lh_device_1& runtime);
  static const TestDevice* open(const std::string& root, std::int32_t device_type, std::string& why);

  const lh_device_1& runtime_;
  void* stream_ = nullptr;
};

}  // namespace layerhub::testing
