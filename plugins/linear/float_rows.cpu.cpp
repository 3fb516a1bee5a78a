// SPDX-License-Identifier: Apache-2.0
#include "float_rows.hpp"

#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <algorithm>

namespace layerhub::linear {

// In pieces of as many columns as a line of the weight's rows holds, so that each line is read once.
template <class T>
void FloatRows::pack_tile(const DLTensor& weight, std::int64_t index) {
  constexpr std::int64_t line = sdk::cache_line_bytes / static_cast<std::int64_t>(sizeof(T));
  T* to = reinterpret_cast<T*>(memory_.data()) + index * tile_rows * columns_;
  const std::int64_t first = index * tile_rows, rows = std::min(tile_rows, rows_ - first);
  for (std::int64_t begin = 0; begin < columns_; begin += line) {
    const std::int64_t end = std::min(begin + line, columns_);
    for (std::int64_t r = 0; r < rows; ++r) {
      const T* from = sdk::row<const T>(weight, first + r);
      for (std::int64_t k = begin; k < end; ++k) {
        to[k * tile_rows + r] = from[k];
      }
    }
  }
}

void FloatRows::pack(const lh_host* host, const DLTensor& weight) {
  constexpr std::int64_t least_bytes_per_worker = 1 << 16;
  const bool is_as_before = sdk::same(dtype_, weight.dtype) && rows_ == weight.shape[0] && columns_ == weight.shape[1];
  if (!is_as_before) {
    dtype_ = weight.dtype;
    rows_ = weight.shape[0];
    columns_ = weight.shape[1];
    memory_ = ArenaMemory(static_cast<std::size_t>(tiles() * tile_bytes()));
  }
  const std::int64_t least = least_bytes_per_worker / (tile_bytes() + 1) + 1;
  sdk::parallel_ranges(host, tiles(), least, 1, [&](sdk::Range range, std::uint32_t) {
    sdk::visit_float(dtype_, [&]<class T>() {
      for (std::int64_t t = range.begin; t < range.end; ++t) {
        pack_tile<T>(weight, t);
      }
    });
  });
}

}  // namespace layerhub::linear
