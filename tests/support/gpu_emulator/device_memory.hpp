// SPDX-License-Identifier: Apache-2.0
// The memory of one emulated device: a range of addresses that can be touched only while work of the device runs. The
// host that follows a device pointer, which faults with a device and is easily overlooked without one, faults here too.
#pragma once

#include <cstddef>
#include <map>

namespace layerhub::gpu_emulator {

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes);
  DeviceMemory(const DeviceMemory&) = delete;

  // nullptr where there is no room. What is allocated or released is spoiled: it reads as NaN.
  void* allocate(std::size_t bytes);
  bool release(void* memory);  // false: it is not the begin of an allocation
  std::size_t free_bytes() const { return bytes_ - used_; }
  std::size_t bytes() const { return bytes_; }

  bool contains(const void* address) const;
  // Whether the whole range lies in one allocation.
  bool is_allocated(const void* address, std::size_t bytes) const;

  // While one of these lives the memory can be touched.
  class Access {
   public:
    explicit Access(DeviceMemory& memory) : memory_(memory) { memory_.open(); }
    ~Access() { memory_.close(); }
    Access(const Access&) = delete;

   private:
    DeviceMemory& memory_;
  };

 private:
  void open();
  void close();
  void protect(int protection);

  std::byte* const begin_;
  const std::size_t bytes_;
  std::size_t used_ = 0, reached_ = 0;  // reached: no allocation was ever behind it
  int open_ = 0;
  std::map<std::size_t, std::size_t> allocations_;  // offset -> bytes
};

}  // namespace layerhub::gpu_emulator
