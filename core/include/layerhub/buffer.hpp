// SPDX-License-Identifier: Apache-2.0
// Memory of a device for hosts that have no runtime of their own for it, and copies between devices.
//
// layerhub itself owns no tensors: a host puts buffer.data() and buffer.device() into its own, with byte_offset for a
// view, since on some devices data is no address.
#pragma once

#include <layerhub/stream.hpp>

#include <dlpack/dlpack.h>

#include <cstddef>

namespace layerhub {

// Owns its memory; movable. Destroying it waits for nobody: the memory goes back once every stream of the device has
// passed what it was given before.
class LAYERHUB_API Buffer {
 public:
  Buffer() = default;
  // Contents are undefined. Aligned to 64 bytes at least. Throws Error(out_of_memory) that names the device and the
  // size, Error(unsupported) where there is no such device. [thread-safe]
  Buffer(Device device, std::size_t bytes);
  // Memory of the host from which the device copies without a detour; its device is the cpu. Where the runtime has no
  // such memory it is an ordinary buffer of the cpu. [thread-safe]
  static Buffer pinned_for(Device device, std::size_t bytes);
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer moved(std::move(other));
    swap(moved);
    return *this;
  }
  ~Buffer();

  void* data() const noexcept { return data_; }  // as DLTensor.data has it
  std::size_t size() const noexcept { return size_; }
  Device device() const noexcept { return device_; }
  DLDevice dl_device() const noexcept { return {device_.type, device_.ordinal}; }

 private:
  void swap(Buffer& other) noexcept;

  void* data_ = nullptr;
  std::size_t size_ = 0;
  Device device_;
  Device pinned_for_;  // the cpu: ordinary memory
};

// Copies a dense tensor to another of the same shape and dtype, in the order of the stream of the device that takes
// part (of `to`, if both do), or, without one, of the stream in use for it. Memory of the host must stay valid until
// the stream has passed; memory of the host that is read afterwards needs a synchronisation first. Between two devices
// of different types it goes through the host and waits for both. Throws Error(invalid_argument) where the tensors
// differ or the stream is of neither device. [thread-safe]
LAYERHUB_API void copy(const DLTensor& from, const DLTensor& to, const Stream* stream = nullptr);

}  // namespace layerhub
