// SPDX-License-Identifier: Apache-2.0
// How multiply_tile is computed: integer products of one block of 32 columns, then one multiply-add with the scales.
//
// One to a few rows (decode) read the packed tile as it comes: memory is the limit, and what there is to unpack hides
// behind it, as long as its lines are asked for some way ahead; one row may take two tiles in turn (tiles.hpp). Many
// rows (a prompt) are bound by arithmetic, of which unpacking would be a quarter: 128 of them share it. A tile is
// unpacked to bytes and float scales in pieces that stay in the nearest cache, and each group of rows is multiplied
// with that.
//
// In registers are a sum for each of some rows of a group and each vector of outputs that is computed at once. A step
// loads the weights of eight columns, and each activation once for all of these vectors; its products go to sums that
// do not depend on each other. The compiler would rather do one sum after the other, and spill the weights or load them
// again, so each step ends with a barrier that it can't move sums across, and weights that are loaded pass one.
//
// Outliers, which are no part of the rounded rows, are added afterwards, each with its column of the packed tile: they
// are few, and the tile is near.
//
// The limit with AVX-512 and VNNI: 8 of 12 vector instructions per 512 products are vpdpbusd, 2 instructions a cycle.
// With AVX2 alone: 19 instructions per 256 products, 3 a cycle; where 4 start in a cycle, 11 of them multiply, which 2
// do.
#pragma once

#include "byte_dot.inl.hpp"
#include "packed_blocks.inl.hpp"
#include "quantized_product.hpp"
#include "tiles.hpp"
#if defined(__AMX_BF16__)
#include "matrix_product.inl.hpp"
#endif

#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/tensor.hpp>

#include <algorithm>
#include <array>
#include <iterator>
#include <type_traits>
#include <utility>

namespace {

using layerhub::linear::ahead_in_turn;
using layerhub::linear::group_rows;
using layerhub::linear::Outlier;
using layerhub::linear::RoundedRows;
using layerhub::linear::TileProduct;

// 4-bit weights as bytes, and the scales and offsets as floats: what unpack() makes of a Packed block.
struct Unpacked {
  static constexpr Codes codes = Codes::nibbles_with_offset;
  static constexpr std::int64_t block_bytes = 10 * line_bytes;

  static Floats scales(const std::uint8_t* record, int part) {
    return reinterpret_cast<Floats>(load_bytes(record + part * vector_bytes));
  }
  static Floats offsets(const std::uint8_t* record, int part) { return scales(record + line_bytes, part); }
  static Pair pair(const std::uint8_t* record, int part, int v) {
    const std::uint8_t* lines = record + 2 * line_bytes + part * vector_bytes;
    return {load_bytes(lines + 2 * v * line_bytes), load_bytes(lines + (2 * v + 1) * line_bytes)};
  }
};

template <Codes codes>
void unpack(const std::uint8_t* from, std::int64_t blocks, std::uint8_t* to) {
  for (std::int64_t b = 0; b < blocks; ++b, from += Packed<codes>::block_bytes, to += Unpacked::block_bytes) {
    for (int part = 0; part < parts; ++part) {
      std::uint8_t* at = to + part * vector_bytes;
      store_bytes(at, reinterpret_cast<Bytes>(Packed<codes>::scales(from, part)));
      store_bytes(at + line_bytes, reinterpret_cast<Bytes>(Packed<codes>::offsets(from, part)));
      for (int v = 0; v < 4; ++v) {
        const Pair pair = Packed<codes>::pair(from, part, v);
        store_bytes(at + (2 + 2 * v) * line_bytes, pair.low);
        store_bytes(at + (3 + 2 * v) * line_bytes, pair.high);
      }
    }
  }
}

// ---- A group of `count` rows against consecutive blocks, some parts and rows together ----

// Of weights that are unpacked already, 16 registers take two rows by two parts, which loads less than one part by four
// rows: that takes 1.07 times as long with AVX-VNNI, for a whole prompt, and as long with AVX2 alone. What is unpacked
// here is unpacked once for all rows of the group.
template <class Source>
constexpr bool takes_two_rows = vector_bytes < 64 && std::is_same_v<Source, Unpacked>;

// Bytes for rows that have units; 4-bit weights are unpacked for them.
struct PackedForUnits : Packed<Codes::bytes> {};
template <class Source>
constexpr bool in_units = !has_vnni && (std::is_same_v<Source, Unpacked> || std::is_same_v<Source, PackedForUnits>);

// The integer products of one block: sums[p][r] for part first + p and row first_row + r of the group.
template <class Source, int together, int rows, class Sum>
[[gnu::always_inline]] inline void dot(const std::uint8_t* record, int first, const std::byte* x, int first_row,
                                       Sum (&sums)[together][rows]) {
  constexpr bool is_bytes = Source::codes == Codes::bytes;
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) {
    Pair pairs[together];
#pragma GCC unroll 8
    for (int p = 0; p < together; ++p) {
      pairs[p] = Source::pair(record, first + p, v);
      if constexpr (takes_two_rows<Source>) {
        asm("" : "+v"(pairs[p].low), "+v"(pairs[p].high));
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const std::int8_t* a = RoundedRows::values(x, first_row + r) + 4 * v;
      const Bytes low = four_in_all(a), high = four_in_all(a + 16);
#pragma GCC unroll 8
      for (int p = 0; p < together; ++p) {
        sums[p][r] = add_dot<is_bytes>(add_dot<is_bytes>(sums[p][r], pairs[p].low, low), pairs[p].high, high);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int p = 0; p < together; ++p) {
        asm("" : "+v"(sums[p][r]));
      }
    }
  }
}

// The same for one row, of all parts, with VNNI. There a sum waits for the one before it: those of low and high nibbles
// are apart, and high nibbles stay 16 times too large until they are summed. A token takes 0.94 of the time with
// AVX-512 on an AMD EPYC of the fifth generation: the sooner a block is done, the sooner those behind it are asked for.
template <class Source>
[[gnu::always_inline]] inline void dot_apart(const std::uint8_t* record, const std::byte* x,
                                             Integers (&sums)[parts][1]) {
  constexpr bool is_bytes = Source::codes == Codes::bytes;
  Integers high_sums[parts] = {};
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) {
    const std::int8_t* a = RoundedRows::values(x, 0) + 4 * v;
    const Bytes low = four_in_all(a), high = four_in_all(a + 16);
#pragma GCC unroll 8
    for (int p = 0; p < parts; ++p) {
      const Pair pair = Source::template pair<true>(record, p, v);
      sums[p][0] = add_dot<is_bytes>(sums[p][0], pair.low, low);
      high_sums[p] = add_dot<is_bytes>(high_sums[p], pair.high, high);
      asm("" : "+v"(sums[p][0]), "+v"(high_sums[p]));
    }
  }
  for (int p = 0; p < parts; ++p) {
    sums[p][0] += is_bytes ? high_sums[p] : high_sums[p] >> 4;
  }
}

// Adds the products of one block: totals[p][r] for part first + p and row first_row + r of the group. One row asks for
// the block that is `ahead` bytes behind this one.
template <class Source, int count, std::int64_t ahead, int together, int rows>
[[gnu::always_inline]] inline void add_block(const std::uint8_t* record, int first, const std::byte* x, int first_row,
                                             Floats (&totals)[together][rows]) {
  if constexpr (count == 1) {
    prefetch_ahead<Source::block_bytes, ahead>(record);
  }
  SumsOf<Source::codes == Codes::bytes> sums[together][rows] = {};
  if constexpr (has_vnni && count == 1 && !std::is_same_v<Source, Unpacked>) {
    dot_apart<Source>(record, x, sums);
  } else {
    dot<Source>(record, first, x, first_row, sums);
  }
  for (int p = 0; p < together; ++p) {
    const Floats scales = Source::scales(record, first + p), offsets = Source::offsets(record, first + p);
    for (int r = 0; r < rows; ++r) {
      totals[p][r] += offsets * RoundedRows::scaled_sums(x, count)[first_row + r];
      if constexpr (in_units<Source>) {
        totals[p][r] += multiplied(sums[p][r], RoundedRows::multiples(x, count)[first_row + r]) * scales;
      } else {
        const Floats scale = scales * RoundedRows::scales(x, count)[first_row + r];
        totals[p][r] += __builtin_convertvector(widened(sums[p][r]), Floats) * scale;
      }
    }
  }
}

// Consecutive blocks of a tile: sums begin with the first, and the last makes them whole.
struct Piece {
  const std::uint8_t* weights;
  std::int64_t blocks;
  bool is_first, is_last;
};

// out[row * tile_rows + output], for the parts from `first` and the rows from `first_row`. units: what the sums of the
// group's rows are multiplied with in the end. Inlined for the constants that these are: without it g++ keeps the sums
// of one row in memory, and a product in cache takes 1.17 times as long with AVX2.
template <class Source, int count, int together, int rows>
[[gnu::always_inline]] inline void add_parts(const Piece& piece, const std::byte* x, const float* units, int first,
                                             int first_row, float* out) {
  out += first_row * tile_rows + first * lanes;
  Floats totals[together][rows] = {};
  if (!piece.is_first) {
    for (int p = 0; p < together; ++p) {
      for (int r = 0; r < rows; ++r) {
        totals[p][r] = load(out + r * tile_rows + p * lanes, Whole{});
      }
    }
  }
  const std::uint8_t* record = piece.weights;
  for (std::int64_t b = 0; b < piece.blocks; ++b) {
    add_block<Source, count, prefetched_bytes>(record, first, x, first_row, totals);
    record += Source::block_bytes;
    x += RoundedRows::record_bytes(count);
  }
  for (int p = 0; p < together; ++p) {
    for (int r = 0; r < rows; ++r) {
      store(out + r * tile_rows + p * lanes, totals[p][r] * units[first_row + r], Whole{});
    }
  }
}

// One row takes all parts at once, so that each line of the cache is touched once, while it comes in; more rows as many
// as leave their sums in registers.
template <class Source, int count>
void add_products(const Piece& piece, const std::byte* x, const float* units, float* out) {
  constexpr int together = count == 1 ? parts : vector_bytes == 64 || takes_two_rows<Source> ? 2 : 1;
  constexpr int rows = takes_two_rows<Source> ? std::min(count, 2) : count;
  for (int first = 0; first < parts; first += together) {
    int row = 0;
    for (; row + rows <= count; row += rows) {
      add_parts<Source, count, together, rows>(piece, x, units, first, row, out);
    }
    if constexpr (count % rows != 0) {
      add_parts<Source, count, together, count % rows>(piece, x, units, first, row, out);
    }
  }
}

// One row against two tiles, a block of each in turn.
template <class Source>
void multiply_blocks_of_two(const std::uint8_t* one, const std::uint8_t* other, std::int64_t blocks, const std::byte* x,
                            float* sums_of_one, float* sums_of_other) {
  const std::uint8_t* const records[] = {one, other};
  float* const sums[] = {sums_of_one, sums_of_other};
  Floats totals[2][parts][1] = {};
  for (std::int64_t b = 0; b < blocks; ++b, x += RoundedRows::record_bytes(1)) {
    for (int i = 0; i < 2; ++i) {
      add_block<Source, 1, ahead_in_turn>(records[i] + b * Source::block_bytes, 0, x, 0, totals[i]);
    }
  }
  for (int i = 0; i < 2; ++i) {
    for (int p = 0; p < parts; ++p) {
      store(sums[i] + p * lanes, totals[i][p][0], Whole{});
    }
  }
}

using AddProducts = void (*)(const Piece&, const std::byte*, const float*, float*);

template <class Source, int... counts>
constexpr auto add_products_table(std::integer_sequence<int, counts...>) {
  return std::array<AddProducts, sizeof...(counts)>{&add_products<Source, counts + 1>...};
}
template <class Source>
constexpr auto add_products_of = add_products_table<Source>(std::make_integer_sequence<int, group_rows>{});

// Rows [first, first + count) against blocks from `first_block` on.
template <class Source>
void add_groups(const Piece& piece, std::int64_t first_block, const RoundedRows& x, std::int64_t first,
                std::int64_t count, float* sums) {
  constexpr float ones[] = {1, 1, 1, 1};
  static_assert(std::size(ones) == group_rows);
  for (std::int64_t r = 0; r < count; r += group_rows, sums += group_rows * tile_rows) {
    const std::int64_t group = (first + r) / group_rows;
    const float* units = in_units<Source> && piece.is_last ? x.unit(first + r) : ones;
    const AddProducts add = add_products_of<Source>[static_cast<std::size_t>(x.rows_of_group(group) - 1)];
    add(piece, x.record(group, first_block), units, sums);
  }
}

// What the outliers of a group add to its rows' sums, each with its column of the tile.
template <Codes codes>
void add_outliers(const std::uint8_t* weights, const RoundedRows& x, std::int64_t group, float* sums) {
  constexpr float too_much = codes == Codes::bytes ? bytes_offset : 0;  // the sums of the block hold the outlier
  for (const Outlier& outlier : x.outliers(group)) {
    const std::uint8_t* record = weights + outlier.block() * Packed<codes>::block_bytes;
    for (int part = 0; part < parts; ++part) {
      const Integers code = column_codes<codes>(record, part, outlier.column());
      const Floats scale = Packed<codes>::scales(record, part) * outlier.value;
      float* to = sums + outlier.row() * tile_rows + part * lanes;
      store(to, load(to, Whole{}) + (__builtin_convertvector(code, Floats) - too_much) * scale, Whole{});
    }
  }
}

template <Codes codes>
void add_blocks(const PackedRows& weight, std::int64_t tile, const RoundedRows& x, std::int64_t first,
                std::int64_t count, float* sums) {
  const std::uint8_t* from = weight.tile(tile);
  if (codes == Codes::bytes || x.rows() <= group_rows) {
    auto* add = codes == Codes::bytes && x.have_units() ? &add_groups<PackedForUnits> : &add_groups<Packed<codes>>;
    add(Piece{from, weight.blocks(), true, true}, 0, x, first, count, sums);
    return;
  }
  constexpr std::int64_t most_blocks = 20;
  alignas(64) std::uint8_t unpacked[most_blocks * Unpacked::block_bytes];
  const std::int64_t pieces = std::max<std::int64_t>((weight.blocks() + most_blocks - 1) / most_blocks, 1);
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    const std::int64_t begin = weight.blocks() * piece / pieces, end = weight.blocks() * (piece + 1) / pieces;
    unpack<codes>(from + begin * Packed<codes>::block_bytes, end - begin, unpacked);
    add_groups<Unpacked>(Piece{unpacked, end - begin, piece == 0, piece + 1 == pieces}, begin, x, first, count, sums);
  }
}

template <Codes codes>
void add_tile(const PackedRows& weight, std::int64_t tile, const RoundedRows& x, std::int64_t first, std::int64_t count,
              float* sums) {
  add_blocks<codes>(weight, tile, x, first, count, sums);
  for (std::int64_t r = 0; r < count; r += group_rows) {
    add_outliers<codes>(weight.tile(tile), x, (first + r) / group_rows, sums + r * tile_rows);
  }
}

template <Codes codes>
void multiply_two(const TileProduct& one, const TileProduct& other, const RoundedRows& x) {
  const std::uint8_t *from = one.weight.tile(one.tile), *from_other = other.weight.tile(other.tile);
  multiply_blocks_of_two<Packed<codes>>(from, from_other, x.blocks(), x.record(0, 0), one.sums, other.sums);
  add_outliers<codes>(from, x, 0, one.sums);
  add_outliers<codes>(from_other, x, 0, other.sums);
}

}  // namespace

namespace layerhub::linear {

void multiply_tile(const PackedRows& weight, std::int64_t tile, const RoundedRows& x, std::int64_t first,
                   std::int64_t count, float* sums) {
#if defined(__AMX_BF16__)
  if (x.are_matrices()) {
    return multiply_matrices(weight, tile, x, first, count, sums);
  }
#endif
  switch (weight.codes()) {
    case Codes::nibbles: return add_tile<Codes::nibbles>(weight, tile, x, first, count, sums);
    case Codes::nibbles_with_offset: return add_tile<Codes::nibbles_with_offset>(weight, tile, x, first, count, sums);
    case Codes::bytes: return add_tile<Codes::bytes>(weight, tile, x, first, count, sums);
  }
}

void multiply_two_tiles(const TileProduct& one, const TileProduct& other, const RoundedRows& x, std::int64_t first,
                        std::int64_t count) {
  if (x.rows() != 1 || !takes_two_tiles() || one.weight.codes() != other.weight.codes()) {
    multiply_tile(one.weight, one.tile, x, first, count, one.sums);
    multiply_tile(other.weight, other.tile, x, first, count, other.sums);
    return;
  }
  switch (one.weight.codes()) {
    case Codes::nibbles: return multiply_two<Codes::nibbles>(one, other, x);
    case Codes::nibbles_with_offset: return multiply_two<Codes::nibbles_with_offset>(one, other, x);
    case Codes::bytes: return multiply_two<Codes::bytes>(one, other, x);
  }
}

namespace {

// Rows of a range that begins with a group.
void finish_groups(const RoundedRows& rows, Range range) {
  for (std::int64_t r = range.begin; r < range.end; r += group_rows) {
    rows.finish(r / group_rows);
  }
}

}  // namespace

void round_rows(const lh_host* host, const DLTensor& x, const RoundedRows& to) {
  constexpr std::int64_t least_rows_per_worker = 8;
  parallel_ranges(host, to.rows(), least_rows_per_worker, group_rows, [&](Range range, std::uint32_t) {
    for (std::int64_t r = range.begin; r < range.end; ++r) {
      to.round_row(r, row<const float>(x, r));
    }
    finish_groups(to, range);
  });
}

void finish_rows(const lh_host* host, const RoundedRows& rows) {
  constexpr std::int64_t least_rows_per_worker = 64;
  parallel_ranges(host, rows.rows(), least_rows_per_worker, group_rows,
                  [&](Range range, std::uint32_t) { finish_groups(rows, range); });
}

}  // namespace layerhub::linear
