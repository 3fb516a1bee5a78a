// SPDX-License-Identifier: Apache-2.0
#include "device_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <new>

namespace layerhub::gpu_emulator {
namespace {

constexpr std::size_t alignment = 256;
constexpr std::byte spoiled{0xff};

std::byte* reserve(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::bad_alloc();
  }
  return static_cast<std::byte*>(memory);
}

std::size_t rounded(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

}  // namespace

DeviceMemory::DeviceMemory(std::size_t bytes) : begin_(reserve(bytes)), bytes_(bytes) {}

// The first gap that is large enough; between two allocations there is always one of `alignment` bytes.
void* DeviceMemory::allocate(std::size_t bytes) {
  const std::size_t wanted = rounded(std::max<std::size_t>(bytes, 1));
  std::size_t offset = 0;
  for (const auto& [begin, size] : allocations_) {
    if (begin >= offset + wanted + alignment) {
      break;
    }
    offset = begin + rounded(size) + alignment;
  }
  if (wanted > bytes_ || offset > bytes_ - wanted) {
    return nullptr;
  }
  allocations_[offset] = std::max<std::size_t>(bytes, 1);
  used_ += wanted;
  if (offset + wanted > reached_) {
    reached_ = offset + wanted;
    protect(open_ == 0 ? PROT_NONE : PROT_READ | PROT_WRITE);
  }
  const Access access(*this);
  std::fill_n(begin_ + offset, wanted, spoiled);
  return begin_ + offset;
}

bool DeviceMemory::release(void* memory) {
  const auto found =
      contains(memory) ? allocations_.find(static_cast<std::byte*>(memory) - begin_) : allocations_.end();
  if (found == allocations_.end()) {
    return false;
  }
  const Access access(*this);
  std::fill_n(begin_ + found->first, rounded(found->second), spoiled);
  used_ -= rounded(found->second);
  allocations_.erase(found);
  return true;
}

bool DeviceMemory::contains(const void* address) const {
  const auto* byte = static_cast<const std::byte*>(address);
  return begin_ <= byte && byte < begin_ + bytes_;
}

bool DeviceMemory::is_allocated(const void* address, std::size_t bytes) const {
  if (!contains(address)) {
    return false;
  }
  const std::size_t offset = static_cast<const std::byte*>(address) - begin_;
  const auto behind = allocations_.upper_bound(offset);
  if (behind == allocations_.begin()) {
    return false;
  }
  const auto& [begin, size] = *std::prev(behind);
  return offset + bytes <= begin + size;
}

void DeviceMemory::open() {
  if (open_++ == 0) {
    protect(PROT_READ | PROT_WRITE);
  }
}

void DeviceMemory::close() {
  if (--open_ == 0) {
    protect(PROT_NONE);
  }
}

void DeviceMemory::protect(int protection) { mprotect(begin_, (reached_ + 4095) / 4096 * 4096, protection); }

}  // namespace layerhub::gpu_emulator
