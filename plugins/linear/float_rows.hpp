// SPDX-License-Identifier: Apache-2.0
// A float weight as the products read it: 32 rows interleaved by column, each element in its own width.
//
// A tile is 32 rows: for each column their 32 elements. So one pass over a tile is one forward read, and every product
// lands in its row's lane. Rows beyond the last are 0.
#pragma once

#include "arena.hpp"
#include "tile_rows.hpp"

#include <layerhub/sdk/call.hpp>

#include <cstdint>

namespace layerhub::linear {

class FloatRows {
 public:
  // weight: [rows, columns] of float32, float16 or bfloat16 with dense rows. Packed by the host's threads.
  FloatRows(const lh_host* host, const DLTensor& weight) { pack(host, weight); }
  // Again, into the same memory where the shape and dtype are as before.
  void pack(const lh_host* host, const DLTensor& weight);

  DLDataType dtype() const { return dtype_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t tiles() const { return (rows_ + tile_rows - 1) / tile_rows; }

  template <class T>
  const T* tile(std::int64_t index) const {
    return reinterpret_cast<const T*>(memory_.data()) + index * tile_rows * columns_;
  }

 private:
  std::int64_t tile_bytes() const { return tile_rows * columns_ * dtype_.bits / 8; }
  template <class T>
  void pack_tile(const DLTensor& weight, std::int64_t index);

  DLDataType dtype_{};
  std::int64_t rows_ = 0, columns_ = 0;
  ArenaMemory memory_;
};

}  // namespace layerhub::linear
