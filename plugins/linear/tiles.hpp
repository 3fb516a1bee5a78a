// SPDX-License-Identifier: Apache-2.0
// The tiles of packed weights, each 32 rows, which are 32 outputs: how a worker goes through its share, and how the
// outputs of a tile are written.
#pragma once

#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <algorithm>
#include <cstdint>

namespace layerhub::linear {

inline constexpr std::int64_t tile_rows = 32;

// One row is multiplied with two tiles in turn that are far from each other: memory gives more to two reads than to
// one. On an AMD EPYC of the third generation float weights take 0.80 to 0.87 of the time and those of blocks 0.90 to
// 0.96. With AVX-512, where it was not measured, tiles come one after the other.
inline constexpr bool takes_two_tiles = sdk::vector_bytes < 64;

// How far ahead of one row's product its weights are asked for. On that EPYC 2 KiB were slower for two tiles.
inline constexpr std::int64_t one_row_ahead = takes_two_tiles ? 1024 : sdk::prefetched_bytes;

// Calls one(tile, first, count) so that all rows meet each tile of the range, as many rows at a time as stay near.
template <class One>
void for_each_tile(sdk::Range tiles, std::int64_t rows, std::int64_t rows_in_cache, One&& one) {
  for (std::int64_t first = 0; first < rows; first += rows_in_cache) {
    for (std::int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
      one(tile, first, std::min(rows_in_cache, rows - first));
    }
  }
}

// The same, and for a single row two(tile, other) with tiles of both halves of the range.
template <class One, class Two>
void for_each_tile(sdk::Range tiles, std::int64_t rows, std::int64_t rows_in_cache, One&& one, Two&& two) {
  if (takes_two_tiles && rows == 1) {
    const std::int64_t half = (tiles.end - tiles.begin) / 2;
    for (std::int64_t end = tiles.begin + half; tiles.begin < end; ++tiles.begin) {
      two(tiles.begin, tiles.begin + half);
    }
    tiles.begin += half;
  }
  for_each_tile(tiles, rows, rows_in_cache, one);
}

// Writes sums[r * tile_rows + i], and the bias where there is one, to row first + r of y, for r < count and the outputs
// of the tile. bias: of all outputs of y, or NULL.
template <class Y>
void write_tile(const float* sums, std::int64_t tile, std::int64_t first, std::int64_t count, const float* bias,
                const DLTensor& y) {
  const std::int64_t begin = tile * tile_rows;
  const std::int64_t outputs = std::min(tile_rows, sdk::last_dim(y) - begin);
  for (std::int64_t r = 0; r < count; ++r) {
    const float* from = sums + r * tile_rows;
    sdk::write(sdk::row<Y>(y, first + r) + begin, outputs, false, [&](std::int64_t i, auto extent) {
      const sdk::Floats sum = sdk::load(from + i, extent);
      return bias == nullptr ? sum : sum + sdk::load(bias + begin + i, extent);
    });
  }
}

}  // namespace layerhub::linear
