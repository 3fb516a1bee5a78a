// SPDX-License-Identifier: Apache-2.0
// The tiles of packed weights, each 32 rows, which are 32 outputs: how the threads share them out, and how the outputs
// of a tile are written.
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

// What there is to multiply: all tiles of a weight with rows of activations, of which so many stay near while tiles
// pass.
class TileWork {
 public:
  TileWork(std::int64_t tiles, std::int64_t columns, std::int64_t rows, std::int64_t rows_in_cache)
      : tiles_(tiles), products_(tile_rows * columns), rows_(rows), rows_in_cache_(rows_in_cache) {}

  std::int64_t tiles() const { return tiles_; }
  std::int64_t rows() const { return rows_; }

  // Pieces of the rows, and rows [first, first + count) of one.
  std::int64_t pieces() const { return (rows_ + rows_in_cache_ - 1) / rows_in_cache_; }
  std::int64_t first(std::int64_t piece) const { return piece * rows_in_cache_; }
  std::int64_t count(std::int64_t piece) const { return std::min(rows_in_cache_, rows_ - first(piece)); }

  // Whether a tile and a piece are enough work to be claimed by whoever is free: threads on processors that are shared
  // with others are not equally fast.
  bool is_of_tasks() const {
    constexpr std::int64_t products_of_task = 1 << 20;  // some 15 us
    return products_ * std::min(rows_, rows_in_cache_) >= products_of_task;
  }
  // Tiles that a worker has at least: fewer are done before they are handed over.
  std::int64_t least_tiles() const {
    constexpr std::int64_t products_of_worker = 1 << 15;
    return products_of_worker / (products_ * rows_ + 1) + 1;
  }

 private:
  std::int64_t tiles_, products_, rows_, rows_in_cache_;  // products: of a tile with one row
};

// Calls one(tile, first, count), by the host's threads, so that all rows meet each tile, piece by piece.
template <class One>
void share_tiles(const lh_host* host, const TileWork& work, One&& one) {
  if (work.is_of_tasks()) {
    const auto tasks = static_cast<std::uint32_t>(work.pieces() * work.tiles());
    sdk::parallel_for(host, tasks, [&](std::uint32_t task, std::uint32_t) {
      const std::int64_t piece = task / work.tiles(), tile = task % work.tiles();
      one(tile, work.first(piece), work.count(piece));
    });
    return;
  }
  sdk::parallel_ranges(host, work.tiles(), work.least_tiles(), 1, [&](sdk::Range range, std::uint32_t) {
    for (std::int64_t piece = 0; piece < work.pieces(); ++piece) {
      for (std::int64_t tile = range.begin; tile < range.end; ++tile) {
        one(tile, work.first(piece), work.count(piece));
      }
    }
  });
}

// The same, and for a single row two(tile, other) with tiles of both halves of a worker's range.
template <class One, class Two>
void share_tiles(const lh_host* host, const TileWork& work, One&& one, Two&& two) {
  if (!takes_two_tiles || work.rows() != 1) {
    return share_tiles(host, work, one);
  }
  sdk::parallel_ranges(host, work.tiles(), work.least_tiles(), 1, [&](sdk::Range range, std::uint32_t) {
    const std::int64_t half = (range.end - range.begin) / 2;
    for (std::int64_t tile = range.begin; tile < range.begin + half; ++tile) {
      two(tile, tile + half);
    }
    if (range.begin + 2 * half < range.end) {
      one(range.end - 1, 0, 1);
    }
  });
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
