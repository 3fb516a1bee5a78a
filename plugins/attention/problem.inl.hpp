// SPDX-License-Identifier: Apache-2.0
// What every part of the attention kernel shares: the call, its rows, and the softmax of a row while positions pass by.
//
// Rows: the query heads that share a key head, token after token, are the rows of that key head; row r is head
// r % group at token r / group and sees the positions below before + token + 1.
//
// Online softmax: a row keeps the largest score so far, and the sum of its weights exp(score - largest). Where a block
// of positions brings a larger one, what was added before is corrected by one factor. A row that has seen nothing has
// the lowest float for its largest, so that it needs no case of its own.
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

// exp(score - largest). Below e^-87 it stays there: beside the largest, whose weight is 1, that is nothing, and numbers
// that are smaller still are slow to compute with.
inline Floats weight_of(Floats difference) { return exp_of_moderate(larger(difference, broadcast(-87))); }

constexpr std::int64_t rounded_up(std::int64_t count, std::int64_t unit) { return (count + unit - 1) / unit * unit; }

struct Problem {
  const DLTensor &q, &k_cache, &v_cache;
  std::int64_t tokens, heads, kv_heads, width, before;
  float scale;

  std::int64_t group() const { return heads / kv_heads; }
  std::int64_t rows_per_head() const { return tokens * group(); }
  std::int64_t end() const { return before + tokens; }  // of all positions
  std::int64_t pitch() const { return rounded_up(width, lanes); }
  std::int64_t step() const { return kv_heads * width; }  // from a position to the next, in the caches
};

struct Rows {
  std::int64_t kv_head, first, count;

  std::int64_t token(const Problem& p, std::int64_t r) const { return (first + r) / p.group(); }
  std::int64_t positions(const Problem& p, std::int64_t r) const { return p.before + token(p, r) + 1; }
  // The index of row r among the rows of q and of the output.
  std::int64_t index(const Problem& p, std::int64_t r) const {
    return token(p, r) * p.heads + kv_head * p.group() + (first + r) % p.group();
  }
};

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

  static Softmax of_nothing() { return {Floats{}, lowest}; }
  float sum() const { return sum_of_lanes(sums); }

  // Turns the scores of a block into weights: those of the first `visible` positions; the others of `vectors` whole
  // vectors get 0. Returns the factor that corrects what was added before.
  float weigh(float* scores, std::int64_t vectors, std::int64_t visible) {
    const std::int64_t whole = std::min(vectors, visible / lanes);
    Floats top = broadcast(largest);
    for (std::int64_t v = 0; v < whole; ++v) {
      top = larger(load(scores + v * lanes, Whole{}), top);
    }
    if (whole < vectors) {
      top = larger(below(visible - whole * lanes, load(scores + whole * lanes, Whole{}), top), top);
    }
    const float now = largest_lane(top);
    const float correction = weight_of(broadcast(largest - now))[0];
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
    return correction;
  }
};

// The same for rows whose scores stand positions_per_block apart.
template <int rows>
[[gnu::flatten]] void weigh_rows(Softmax* softmax, float* scores, std::int64_t vectors, const std::int64_t* visible,
                                 float* corrections) {
  for (int r = 0; r < rows; ++r) {
    corrections[r] = softmax[r].weigh(scores + r * positions_per_block, vectors, visible[r]);
  }
}

}  // namespace layerhub::attention
