// SPDX-License-Identifier: Apache-2.0
// Sums over rows, column by column: gradients of what all rows share.
#pragma once

#include <layerhub/sdk/vector.hpp>

#include <cstdint>

namespace layerhub::sdk {

namespace detail {

// The sums of term(r, column + v lanes, extent) over r < rows, for v < vectors: in blocks, so that the rounding errors
// add up within a block and among the blocks, not over all rows.
template <int vectors, class Y, class Term, class Extent>
void write_column_block(Y* y, std::int64_t column, std::int64_t rows, Term& term, Extent extent) {
  constexpr std::int64_t block_rows = 128;
  Floats totals[vectors] = {};
  for (std::int64_t begin = 0; begin < rows; begin += block_rows) {
    const std::int64_t end = rows - begin < block_rows ? rows : begin + block_rows;
    Floats sums[vectors] = {};
    for (std::int64_t r = begin; r < end; ++r) {
      for (int v = 0; v < vectors; ++v) {
        sums[v] += term(r, column + v * lanes, extent);
      }
    }
    for (int v = 0; v < vectors; ++v) {
      totals[v] += sums[v];
    }
  }
  for (int v = 0; v < vectors; ++v) {
    store(y + column + v * lanes, totals[v], extent);
  }
}

}  // namespace detail

// Work on columns is cut at multiples of it, so that a column always falls into the same lane of the same loop.
inline constexpr std::int64_t column_grain = 64;

// Writes y[c] = the sum of term(r, c) over all r < rows, for begin <= c < end: term(r, c, Extent) returns the values
// from column c. begin is a multiple of column_grain; the order of additions depends on nothing but `rows`.
template <class Y, class Term>
void write_column_sums(Y* y, std::int64_t begin, std::int64_t end, std::int64_t rows, Term&& term) {
  std::int64_t column = begin;
  for (; column + 4 * lanes <= end; column += 4 * lanes) {
    detail::write_column_block<4>(y, column, rows, term, Whole{});
  }
  for (; column + lanes <= end; column += lanes) {
    detail::write_column_block<1>(y, column, rows, term, Whole{});
  }
  if (column < end) {
    detail::write_column_block<1>(y, column, rows, term, Part{end - column});
  }
}

}  // namespace layerhub::sdk
