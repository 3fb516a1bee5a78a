// SPDX-License-Identifier: Apache-2.0
// The tiles of packed weights, each 32 rows, which are 32 outputs: how the threads share them out, how far ahead they
// are asked for, and how the outputs of a tile are written.
#pragma once

#include "tile_rows.hpp"

#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <cpuid.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

namespace layerhub::linear {

namespace detail {

// Asked when it is needed: what the compiler has for it asks some twenty times as the library is opened, each of which
// a hypervisor answers.
inline bool is_amd_without_avx512() {
  if (sdk::vector_bytes == 64) {
    return false;
  }
  constexpr unsigned last_family = 0x19;  // later ones have AVX-512, though a hypervisor may hide it
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0 || b != signature_AMD_ebx || __get_cpuid(1, &a, &b, &c, &d) == 0 ||
      (a >> 8 & 0xf) + (a >> 20 & 0xff) > last_family) {
    return false;
  }
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_AVX512F) == 0;
}

}  // namespace detail

// Whether one row is multiplied with two tiles in turn that are far from each other, which gives the same numbers:
// where memory gives more to two reads than to one. So it does on an AMD EPYC of the third generation, where float
// weights take 0.80 to 0.87 of the time and those of blocks 0.90 to 0.96. On one of the fifth those of blocks take 2.0
// with AVX2, and 1.4 where they are asked for further ahead; so tiles come one after the other there, as on Intel's
// processors. AMD's first two generations and Intel's were not measured. LAYERHUB_TILES_IN_TURN=1 or 2 asks for
// either, to test and to measure.
inline bool takes_two_tiles() {
  static const bool takes = [] {
    if (const char* asked = secure_getenv("LAYERHUB_TILES_IN_TURN")) {
      return *asked == '2';
    }
    return detail::is_amd_without_avx512();
  }();
  return takes;
}

// How far ahead of each of two tiles its weights are asked for. On that EPYC of the third generation 2 KiB were slower.
inline constexpr std::int64_t ahead_in_turn = 1024;

// What there is to multiply: all tiles of a weight with rows of activations.
struct TileWork {
  std::int64_t tiles;
  std::int64_t products;  // of a tile and one row
  std::int64_t rows;
  std::int64_t rows_in_cache;  // that stay near while tiles pass: a piece

  std::int64_t pieces() const { return (rows + rows_in_cache - 1) / rows_in_cache; }
  std::int64_t first(std::int64_t piece) const { return piece * rows_in_cache; }
  std::int64_t count(std::int64_t piece) const { return std::min(rows_in_cache, rows - first(piece)); }

  // Tiles that a worker has at least: fewer are done before they are handed over, in a microsecond or two.
  std::int64_t least_tiles() const {
    constexpr std::int64_t least_products = 1 << 15;
    return least_products / (products * rows + 1) + 1;
  }

  // Many rows are shared out in tasks of so many tiles and a piece, claimed by whoever is free, since threads on
  // processors that they share with others are not equally fast; 0 for a few rows, of which each worker has one range.
  // A task takes some 50 us with AVX2, beside which a hand-over is nothing, or less where workers would have few.
  std::int64_t tiles_of_task(std::uint32_t workers) const {
    constexpr std::int64_t least_products = 1 << 18, products_of_task = 1 << 22, tasks_of_worker = 4;
    const std::int64_t of_tile = products * std::min(rows, rows_in_cache);
    if (of_tile < least_products) {
      return 0;
    }
    const std::int64_t share = pieces() * tiles / (tasks_of_worker * workers);
    return std::max<std::int64_t>(std::min(products_of_task / of_tile, share), 1);
  }
};

namespace detail {

template <class One>
void run_tiles(const TileWork& work, sdk::Range tiles, std::int64_t piece, One&& one) {
  for (std::int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
    one(tile, work.first(piece), work.count(piece));
  }
}

}  // namespace detail

// Calls one(tile, first, count), by the host's threads, so that rows [first, first + count) of each piece meet each
// tile.
template <class One>
void share_tiles(const lh_host* host, const TileWork& work, One&& one) {
  if (const std::int64_t step = work.tiles_of_task(sdk::worker_count(host)); step > 0) {
    const std::int64_t steps = (work.tiles + step - 1) / step;
    sdk::parallel_for(host, static_cast<std::uint32_t>(work.pieces() * steps), [&](std::uint32_t task, std::uint32_t) {
      const std::int64_t begin = task % steps * step;
      detail::run_tiles(work, {begin, std::min(begin + step, work.tiles)}, task / steps, one);
    });
    return;
  }
  sdk::parallel_ranges(host, work.tiles, work.least_tiles(), 1, [&](sdk::Range range, std::uint32_t) {
    for (std::int64_t piece = 0; piece < work.pieces(); ++piece) {
      detail::run_tiles(work, range, piece, one);
    }
  });
}

// The same, and where one row takes two tiles, two(tile, other) with tiles of both halves of a worker's range.
template <class One, class Two>
void share_tiles(const lh_host* host, const TileWork& work, One&& one, Two&& two) {
  if (work.rows != 1 || !takes_two_tiles()) {
    return share_tiles(host, work, one);
  }
  sdk::parallel_ranges(host, work.tiles, work.least_tiles(), 1, [&](sdk::Range range, std::uint32_t) {
    const std::int64_t half = (range.end - range.begin) / 2;
    for (std::int64_t tile = range.begin; tile < range.begin + half; ++tile) {
      two(tile, tile + half);
    }
    detail::run_tiles(work, {range.begin + 2 * half, range.end}, 0, one);
  });
}

// Writes sums[r * tile_rows + i], and the bias where there is one, to row first + r of y, for r < count and the outputs
// of the tile. bias: of all outputs of y, or empty.
template <class Y>
void write_tile(const float* sums, std::int64_t tile, std::int64_t first, std::int64_t count,
                std::span<const float> bias, const DLTensor& y) {
  const std::int64_t begin = tile * tile_rows;
  const std::int64_t outputs = std::min(tile_rows, sdk::last_dim(y) - begin);
  for (std::int64_t r = 0; r < count; ++r) {
    const float* from = sums + r * tile_rows;
    sdk::write(sdk::row<Y>(y, first + r) + begin, outputs, false, [&](std::int64_t i, auto extent) {
      const sdk::Floats sum = sdk::load(from + i, extent);
      return bias.empty() ? sum : sum + sdk::load(bias.data() + begin + i, extent);
    });
  }
}

}  // namespace layerhub::linear
