// SPDX-License-Identifier: Apache-2.0
// What every part of the attention kernel shares: the call, its rows, and the softmax of a row while positions pass by.
//
// Rows: the query heads that share a key head, token after token, are the rows of that key head; row r is head
// r % group at token r / group and sees the positions below before + token + 1.
//
// Online softmax: a row keeps the largest score so far, and the sum of its weights 2^(score - largest): q is scaled by
// log2 e as well, since powers of 2 cost less. Where a block of positions brings a larger score, what was added before
// is corrected by one factor. A row that has seen nothing has the lowest float for its largest, so that it needs no
// case of its own.
#pragma once

#include "lanes.inl.hpp"

#include <layerhub/abi.h>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector_math.hpp>

#include <algorithm>
#include <limits>

namespace layerhub::attention {

constexpr std::int64_t max_width = 256;
constexpr std::int64_t positions_per_block = 64;  // scores that a row has at once
constexpr float lowest = std::numeric_limits<float>::lowest();

// 2^(score - largest). Below 2^-100 it stays there: beside the largest, whose weight is 1, that is nothing, and
// products with numbers that are smaller still are slow. NaN stays NaN: a row whose scores have one gets it.
inline Floats weight_of(Floats difference) { return exp2_of_moderate(larger(broadcast(-100), difference)); }

constexpr std::int64_t rounded_up(std::int64_t count, std::int64_t unit) { return (count + unit - 1) / unit * unit; }

struct Problem {
  const DLTensor &q, &k_cache, &v_cache;
  std::int64_t tokens, heads, kv_heads, width, before;
  float scale;  // of q, so that scores are exponents of 2

  std::int64_t group() const { return heads / kv_heads; }
  std::int64_t rows_per_head() const { return tokens * group(); }
  std::int64_t end() const { return before + tokens; }  // of all positions
  std::int64_t pitch() const { return rounded_up(width, lanes); }
  std::int64_t step() const { return kv_heads * width; }  // from a position to the next, in the caches
};

struct Rows {
  std::int64_t kv_head, first, count;

  // What the last of them sees.
  std::int64_t positions(const Problem& p) const { return p.before + (first + count - 1) / p.group() + 1; }

  // Calls body(r, token, head) for each, without a division in between.
  template <class Body>
  void for_each(const Problem& p, Body&& body) const {
    std::int64_t token = first / p.group(), member = first % p.group();
    for (std::int64_t r = 0; r < count; ++r) {
      body(r, token, kv_head * p.group() + member);
      if (++member == p.group()) {
        member = 0;
        ++token;
      }
    }
  }
};

template <class T>
T* row_of(const DLTensor& tensor, std::int64_t token, std::int64_t head) {
  return data<T>(tensor) + token * tensor.strides[0] + head * tensor.strides[1];
}

// Calls body(i, extent) for each vector of a row of `width` elements.
template <class Body>
void for_each_vector(std::int64_t width, Body&& body) {
  std::int64_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    body(i, Whole{});
  }
  if (i < width) {
    body(i, Part{width - i});
  }
}

struct Softmax {
  Floats sums;  // the sum of weights, by lanes
  float largest;
  std::int64_t positions;  // that the row sees

  static Softmax of(std::int64_t positions) { return {Floats{}, lowest, positions}; }
  float sum() const { return sum_of_lanes(sums); }
  // How many of the `count` positions from `first` on.
  std::int64_t visible(std::int64_t first, std::int64_t count) const {
    return std::clamp<std::int64_t>(positions - first, 0, count);
  }

  // The largest score once the first `visible` of a block's are known. A NaN is passed over; its weight will be NaN.
  float largest_with(const float* scores, std::int64_t visible) const {
    const std::int64_t whole = visible / lanes;
    Floats top = broadcast(largest);
    for (std::int64_t v = 0; v < whole; ++v) {
      top = larger(load(scores + v * lanes, Whole{}), top);
    }
    if (visible % lanes != 0) {
      top = larger(below(visible % lanes, load(scores + whole * lanes, Whole{}), top), top);
    }
    return largest_lane(top);
  }

  // Turns the scores of a block into weights: those of the first `visible` positions; the others of `vectors` whole
  // vectors get 0. `now` is the largest score from here on, `correction` the weight of what was the largest.
  void weigh(float* scores, std::int64_t vectors, std::int64_t visible, float now, float correction) {
    const std::int64_t whole = visible / lanes;
    Floats total = sums * correction;
    for (std::int64_t v = 0; v < whole; ++v) {
      const Floats weights = weight_of(load(scores + v * lanes, Whole{}) - now);
      store(scores + v * lanes, weights, Whole{});
      total += weights;
    }
    for (std::int64_t v = whole; v < vectors; ++v) {
      const std::int64_t left = visible - v * lanes;
      const Floats seen = below(left, load(scores + v * lanes, Whole{}), broadcast(now));
      const Floats weights = below(left, weight_of(seen - now), Floats{});
      store(scores + v * lanes, weights, Whole{});
      total += weights;
    }
    sums = total;
    largest = now;
  }
};

// Weighs a block for rows whose scores stand positions_per_block apart; corrections[r] is the factor for what row r
// added before. The rows' corrections are computed as one vector, since each alone would take as long as all.
template <int rows>
[[gnu::flatten]] void weigh_rows(Softmax* softmax, float* scores, std::int64_t vectors, const std::int64_t* visible,
                                 float (&corrections)[rows]) {
  constexpr std::int64_t padded = rounded_up(rows, lanes);
  float now[rows];
  alignas(64) float factors[padded] = {};
  for (int r = 0; r < rows; ++r) {
    now[r] = softmax[r].largest_with(scores + r * positions_per_block, visible[r]);
    factors[r] = softmax[r].largest - now[r];
  }
  for (std::int64_t r = 0; r < padded; r += lanes) {
    store(factors + r, weight_of(load(factors + r, Whole{})), Whole{});
  }
  for (int r = 0; r < rows; ++r) {
    corrections[r] = factors[r];
    softmax[r].weigh(scores + r * positions_per_block, vectors, visible[r], now[r], factors[r]);
  }
}

}  // namespace layerhub::attention
