// SPDX-License-Identifier: Apache-2.0
// Products of packed weights and rounded activations, a tile of 32 outputs at a time. See the .inl.hpp for how.
#pragma once

#include "packed_rows.hpp"
#include "rounded_rows.hpp"

#include <cstdint>

namespace layerhub::linear {

// Rows of x that stay near while tiles pass by: a whole number of groups. Matrices share the unpacking among more.
#if defined(__AMX_BF16__)
inline constexpr std::int64_t rows_in_cache = 512;
#else
inline constexpr std::int64_t rows_in_cache = 128;
#endif

// sums[r * tile_rows + i] = row first + r of x times row i of the tile, for r < count <= rows_in_cache; first is a
// multiple of rows_in_cache, and count reaches the next one or the last row.
void multiply_tile(const PackedRows& weight, std::int64_t tile, const RoundedRows& x, std::int64_t first,
                   std::int64_t count, float* sums);

// What one row of activations is multiplied with, and where its sums go.
struct TileProduct {
  const PackedRows& weight;
  std::int64_t tile;
  float* sums;
};
// As multiply_tile for the one row of x: two tiles in turn. Their weights have as many columns.
void multiply_two_tiles(const TileProduct& one, const TileProduct& other, const RoundedRows& x);

// Rows of activations x to 8 bits, by the host's threads where they are many.
void round_rows(const lh_host* host, const DLTensor& x, const RoundedRows& to);

}  // namespace layerhub::linear
