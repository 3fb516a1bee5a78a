// SPDX-License-Identifier: Apache-2.0
#include "arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <new>

namespace layerhub::linear {
namespace {

constexpr std::size_t huge_page = std::size_t{1} << 21;
constexpr std::size_t chunk_bytes = std::size_t{1} << 26;
constexpr std::size_t head_bytes = std::size_t{1} << 18;  // of a chunk in small pages: all that a small layer takes
constexpr std::size_t line = 64;

constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

// Mapped once, handed out from the front.
class Chunk {
 public:
  explicit Chunk(std::size_t bytes) : mapped_(head_bytes + huge_page + round_up(bytes, huge_page)) {
    void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      throw std::bad_alloc();
    }
    memory_ = static_cast<std::uint8_t*>(memory);
    const auto address = reinterpret_cast<std::uintptr_t>(memory_);
    const std::size_t huge = round_up(address + head_bytes, huge_page) - address;
    madvise(memory_, huge, MADV_NOHUGEPAGE);
    madvise(memory_ + huge, mapped_ - huge, MADV_HUGEPAGE);  // a wish: without it all is as before, but slower
    used_ = huge - head_bytes;
  }
  ~Chunk() { munmap(memory_, mapped_); }
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  // NULL where it does not fit.
  std::uint8_t* take(std::size_t bytes) {
    if (bytes > mapped_ - used_) {
      return nullptr;
    }
    std::uint8_t* taken = memory_ + used_;
    used_ += bytes;
    return taken;
  }

 private:
  std::size_t mapped_, used_ = 0;
  std::uint8_t* memory_ = nullptr;
};

ArenaMemory::ArenaMemory(std::size_t bytes) {
  static std::mutex mutex;
  static std::weak_ptr<Chunk> current;  // weak: the matrices alone keep a chunk
  const std::size_t rounded = round_up(std::max<std::size_t>(bytes, 1), line);
  const std::lock_guard lock(mutex);
  chunk_ = current.lock();
  data_ = chunk_ == nullptr ? nullptr : chunk_->take(rounded);
  if (data_ == nullptr) {
    chunk_ = std::make_shared<Chunk>(std::max(rounded, chunk_bytes));
    data_ = chunk_->take(rounded);
    current = chunk_;
  }
}

}  // namespace layerhub::linear
