// SPDX-License-Identifier: Apache-2.0
// Memory for packed weights: one arena for all layers of the process, in huge pages.
//
// A decode step walks all weights once, so each page of 4 KiB costs a translation; pages of 2 MiB make the walk 10 to
// 20 % faster. A matrix of its own rarely fills such pages, so matrices lie side by side in chunks. A chunk is reserved
// address space: what is not packed into it takes no memory. It begins with small pages: the first touch of a large one
// clears all of it, which was a quarter of a host's start with a few small weights. It goes back to the system with its
// last matrix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace layerhub::linear {

class Chunk;

// Movable memory of the arena, 64-byte aligned and zeroed; empty by default.
class ArenaMemory {
 public:
  ArenaMemory() = default;
  explicit ArenaMemory(std::size_t bytes);  // throws std::bad_alloc [thread-safe]

  std::uint8_t* data() const { return data_; }

 private:
  std::shared_ptr<Chunk> chunk_;
  std::uint8_t* data_ = nullptr;
};

}  // namespace layerhub::linear
