// SPDX-License-Identifier: Apache-2.0
// Products of float weights and float activations, a tile of 32 outputs at a time.
//
// Activations are copied as float32 in groups of as many rows as one pass of a product takes, an element of each row
// beside the next, so that a product reads two streams. In registers are the sums of a group and of as many of the
// tile's vectors as there is room for; a step loads these vectors of one column and broadcasts each row's element. The
// order of additions is that of the columns, however many rows or threads there are.
//
// The limit: one row reads the tile from memory once, two tiles in turn where that is faster (tiles.hpp). Many rows are
// bound by the multiply-adds, two a cycle; a piece of the tile stays in the nearest cache while they pass by, and is
// widened to float32 there first, once for all of them.
#pragma once

#include "float_rows.hpp"
#include "tiles.hpp"

#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

namespace layerhub::linear {

using namespace layerhub::sdk;

namespace detail {

inline constexpr int parts = tile_rows / lanes;                 // vectors that a column of a tile takes
inline constexpr int most_sums = vector_bytes == 64 ? 24 : 12;  // of 32 and 16 registers
inline constexpr std::int64_t columns_in_cache = 256;           // of a tile
inline constexpr std::int64_t bytes_in_turn = 512;              // of each of two tiles

// How many parts a group of `count` rows takes at once.
constexpr int parts_together(int count) {
  int together = parts;
  while (together > 1 && together * count > most_sums) {
    together /= 2;
  }
  return together;
}

}  // namespace detail

// Activations as the products read them.
class GroupedRows {
 public:
  static constexpr int group_rows = vector_bytes == 64 ? 12 : 6;

  static std::size_t bytes(std::int64_t rows, std::int64_t columns) {
    return static_cast<std::size_t>(rows * columns) * sizeof(float);
  }
  // memory: bytes(rows, columns) of them.
  GroupedRows(void* memory, std::int64_t rows, std::int64_t columns)
      : memory_(static_cast<float*>(memory)), rows_(rows), columns_(columns) {}

  std::int64_t rows() const { return rows_; }
  int rows_of_group(std::int64_t group) const {
    return static_cast<int>(std::min<std::int64_t>(group_rows, rows_ - group * group_rows));
  }
  const float* column(std::int64_t group, std::int64_t column) const {
    return memory_ + group * group_rows * columns_ + rows_of_group(group) * column;
  }

  // By the host's threads where the rows are many.
  void copy(const lh_host* host, const DLTensor& x) const {
    constexpr std::int64_t least_elements_per_worker = 1 << 14;
    parallel_ranges(host, rows_, least_elements_per_worker / (columns_ + 1) + 1, group_rows,
                    [&](Range range, std::uint32_t) {
                      visit_float(x.dtype, [&]<class T>() {
                        for (std::int64_t r = range.begin; r < range.end; ++r) {
                          copy_row(r, row<const T>(x, r));
                        }
                      });
                    });
  }

 private:
  template <class T>
  void copy_row(std::int64_t index, const T* x) const {
    const std::int64_t group = index / group_rows, count = rows_of_group(group);
    float* to = memory_ + group * group_rows * columns_ + index % group_rows;
    for (std::int64_t k = 0; k < columns_; ++k) {
      to[k * count] = to_float(x[k]);
    }
  }

  float* memory_;
  std::int64_t rows_, columns_;
};

namespace detail {

// Adds to sums[row * tile_rows + output], for the outputs of the parts from `first`. One row asks for the weights that
// are `ahead` bytes behind.
template <class W, int count, std::int64_t ahead>
void add_parts(const W* weights, std::int64_t columns, const float* x, int first, float* sums) {
  constexpr int together = parts_together(count);
  Floats totals[count][together];
  for (int c = 0; c < count; ++c) {
    for (int p = 0; p < together; ++p) {
      totals[c][p] = load(sums + c * tile_rows + (first + p) * lanes, Whole{});
    }
  }
  weights += first * lanes;
  for (std::int64_t k = 0; k < columns; ++k, weights += tile_rows, x += count) {
    if constexpr (count == 1) {
      prefetch_ahead<tile_rows * sizeof(W), ahead>(weights);
    }
    Floats w[together];
#pragma GCC unroll 8
    for (int p = 0; p < together; ++p) {
      w[p] = load(weights + p * lanes, Whole{});
    }
#pragma GCC unroll 12
    for (int c = 0; c < count; ++c) {
#pragma GCC unroll 8
      for (int p = 0; p < together; ++p) {
        totals[c][p] += w[p] * x[c];
      }
    }
  }
  for (int c = 0; c < count; ++c) {
    for (int p = 0; p < together; ++p) {
      store(sums + c * tile_rows + (first + p) * lanes, totals[c][p], Whole{});
    }
  }
}

template <class W, int count, std::int64_t ahead = prefetched_bytes>
void add_products(const W* weights, std::int64_t columns, const float* x, float* sums) {
  for (int first = 0; first < parts; first += parts_together(count)) {
    add_parts<W, count, ahead>(weights, columns, x, first, sums);
  }
}

template <class W>
using AddProducts = void (*)(const W*, std::int64_t, const float*, float*);

template <class W, int... counts>
constexpr auto add_products_table(std::integer_sequence<int, counts...>) {
  return std::array<AddProducts<W>, sizeof...(counts)>{&add_products<W, counts + 1>...};
}
template <class W>
inline constexpr auto add_products_of =
    add_products_table<W>(std::make_integer_sequence<int, GroupedRows::group_rows>{});

}  // namespace detail

// Rows of x that stay near while tiles pass by: a whole number of groups.
inline constexpr std::int64_t float_rows_in_cache = 48;
static_assert(float_rows_in_cache % GroupedRows::group_rows == 0);

namespace detail {

// Rows [first, first + count) against columns [begin, begin + columns) of a tile.
template <class W>
void add_groups(const W* weights, std::int64_t begin, std::int64_t columns, const GroupedRows& x, std::int64_t first,
                std::int64_t count, float* sums) {
  for (std::int64_t r = 0; r < count; r += GroupedRows::group_rows) {
    const std::int64_t group = (first + r) / GroupedRows::group_rows;
    add_products_of<W>[static_cast<std::size_t>(x.rows_of_group(group) - 1)](weights, columns, x.column(group, begin),
                                                                             sums + r * tile_rows);
  }
}

}  // namespace detail

// sums[r * tile_rows + i] = row first + r of x times row i of the tile, for r < count <= float_rows_in_cache; first is
// a multiple of float_rows_in_cache, and count reaches the next one or the last row.
template <class W>
void multiply_tile(const FloatRows& weight, std::int64_t tile, const GroupedRows& x, std::int64_t first,
                   std::int64_t count, float* sums) {
  std::fill(sums, sums + count * tile_rows, 0.f);
  for (std::int64_t begin = 0; begin < weight.columns(); begin += detail::columns_in_cache) {
    const std::int64_t columns = std::min(detail::columns_in_cache, weight.columns() - begin);
    const W* weights = weight.tile<W>(tile) + begin * tile_rows;
    if (std::is_same_v<W, float> || count <= GroupedRows::group_rows) {
      detail::add_groups(weights, begin, columns, x, first, count, sums);
    } else {
      alignas(64) float widened[detail::columns_in_cache * tile_rows];
      for (std::int64_t i = 0; i < columns * tile_rows; i += lanes) {
        store(widened + i, load(weights + i, Whole{}), Whole{});
      }
      detail::add_groups(widened, begin, columns, x, first, count, sums);
    }
  }
}

// The one row of x times the rows of two tiles, some columns of each in turn: sums[i] and sums[tile_rows + i].
template <class W>
void multiply_two_tiles(const FloatRows& weight, std::int64_t tile, std::int64_t other, const GroupedRows& x,
                        float* sums) {
  constexpr std::int64_t columns_in_turn = detail::bytes_in_turn / (tile_rows * sizeof(W));
  constexpr auto add_products = detail::add_products<W, 1, ahead_in_turn>;
  std::fill(sums, sums + 2 * tile_rows, 0.f);
  for (std::int64_t begin = 0; begin < weight.columns(); begin += columns_in_turn) {
    const std::int64_t columns = std::min(columns_in_turn, weight.columns() - begin), at = begin * tile_rows;
    add_products(weight.tile<W>(tile) + at, columns, x.column(0, begin), sums);
    add_products(weight.tile<W>(other) + at, columns, x.column(0, begin), sums + tile_rows);
  }
}

}  // namespace layerhub::linear
