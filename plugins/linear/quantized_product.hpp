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

// A tile of a weight, and where the sums of rows with it go.
struct TileProduct {
  const PackedRows& weight;
  std::int64_t tile;
  float* sums;
};
// multiply_tile of both, whose weights have as many columns: in turn where x is one row (takes_two_tiles) and their
// formats are one.
void multiply_two_tiles(const TileProduct& one, const TileProduct& other, const RoundedRows& x, std::int64_t first,
                        std::int64_t count);

// Rows of activations x to 8 bits, by the host's threads where they are many.
void round_rows(const lh_host* host, const DLTensor& x, const RoundedRows& to);
// Finishes rows that were rounded block by block, likewise.
void finish_rows(const lh_host* host, const RoundedRows& rows);

}  // namespace layerhub::linear
