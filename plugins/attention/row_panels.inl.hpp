// SPDX-License-Identifier: Apache-2.0
// Attention for many rows of a key head: a prompt, or a step of several tokens.
//
// Bound by arithmetic, so both products, q k^T and weights v, are done like matrix products: for a block of positions
// the keys are widened and transposed and the values widened, once for all rows of the job; then panels of six rows
// pass by, whose sums stay in registers while an element of the panel is broadcast against vectors of the block. A
// panel's scores never leave the nearest cache. Blocks and vectors that no row of a panel sees are left out.
#pragma once

#include "few_rows.inl.hpp"

namespace layerhub::attention {

constexpr int panel_rows = 6;
constexpr std::int64_t max_rows = 192;               // of a job
constexpr std::int64_t max_row_floats = 192 * 64;    // of all its rows
constexpr std::int64_t max_block_floats = 128 * 64;  // of the keys, or values, of a block
constexpr int widest_sums = lanes == 16 ? 4 : 2;     // vectors of sums for each row that fit registers

// sums[r][v] = the sum of a[r * a_pitch + k] * (vector v of row k of b) over k < depth
template <int vectors>
inline void multiply(const float* a, std::int64_t a_pitch, const float* b, std::int64_t b_pitch, std::int64_t depth,
                     Floats (&sums)[panel_rows][vectors]) {
  for (std::int64_t k = 0; k < depth; ++k, b += b_pitch) {
    Floats column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      column[v] = load(b + v * lanes, Whole{});
    }
#pragma GCC unroll 8
    for (int r = 0; r < panel_rows; ++r) {
      const Floats element = broadcast(a[r * a_pitch + k]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        sums[r][v] += element * column[v];
      }
    }
  }
}

// Calls body(v, constant of how many) for vectors 0 .. count, as many at once as fit registers.
template <class Body>
void for_each_vectors(std::int64_t count, Body&& body) {
  std::int64_t v = 0;
  for (; v + widest_sums <= count; v += widest_sums) {
    body(v, std::integral_constant<int, widest_sums>{});
  }
  if (v + 2 <= count) {
    body(v, std::integral_constant<int, 2>{});
    v += 2;
  }
  if (v < count) {
    body(v, std::integral_constant<int, 1>{});
  }
}

class RowPanels {
 public:
  static std::int64_t most_rows(std::int64_t pitch) {
    return std::min(max_rows, max_row_floats / pitch) / panel_rows * panel_rows;
  }

  template <class T>
  void begin(const Problem& problem, const Rows& rows) {
    const std::int64_t pitch = problem.pitch();
    rows.for_each(problem, [&](std::int64_t r, std::int64_t token, std::int64_t head) {
      const T* from = row_of<const T>(problem.q, token, head);
      for_each_vector(problem.width, [&](std::int64_t i, auto extent) {
        store(q_ + r * pitch + i, load(from + i, extent) * problem.scale, Whole{});
        store(outputs_ + r * pitch + i, Floats{}, Whole{});
      });
      softmax_[r] = Softmax::of(problem.before + token + 1);
    });
    // The last panel is filled up with the last row.
    for (std::int64_t r = rows.count; r % panel_rows != 0; ++r) {
      std::copy_n(q_ + (r - 1) * pitch, pitch, q_ + r * pitch);
      std::fill_n(outputs_ + r * pitch, pitch, 0.f);
      softmax_[r] = softmax_[r - 1];
    }
  }

  // Adds the positions from .. to, in order. `to` is at most what the last row sees.
  template <class C>
  void add(const Problem& problem, const Rows& rows, std::int64_t from, std::int64_t to) {
    block_ = std::min(positions_per_block, max_block_floats / problem.pitch() / lanes * lanes);
    for (std::int64_t first = from; first < to; first += block_) {
      const std::int64_t count = std::min(block_, to - first);
      const std::int64_t offset = first * problem.step() + rows.kv_head * problem.width;
      widen_transposed(data<const C>(problem.k_cache) + offset, problem, count);
      widen(data<const C>(problem.v_cache) + offset, problem, count);
      for (std::int64_t panel = 0; panel < rows.count; panel += panel_rows) {
        add_block(problem, panel, first, count);
      }
    }
  }

  const Softmax& softmax(std::int64_t r) const { return softmax_[r]; }
  const float* output(const Problem& problem, std::int64_t r) const { return outputs_ + r * problem.pitch(); }

 private:
  template <class C>
  [[gnu::flatten]] void widen_transposed(const C* keys, const Problem& problem, std::int64_t count) {
    for (std::int64_t p = 0; p < count; p += lanes) {
      for_each_vector(problem.width, [&](std::int64_t i, auto extent) {
        Floats square[lanes];
        for (int n = 0; n < lanes; ++n) {
          square[n] = load(keys + std::min(p + n, count - 1) * problem.step() + i, extent);
        }
        transpose(square);
        for (int n = 0; n < lanes; ++n) {
          store(keys_ + (i + n) * block_ + p, square[n], Whole{});
        }
      });
    }
  }

  template <class C>
  [[gnu::flatten]] void widen(const C* values, const Problem& problem, std::int64_t count) {
    for (std::int64_t p = 0; p < count; ++p) {
      for_each_vector(problem.width, [&](std::int64_t i, auto extent) {
        store(values_ + p * problem.pitch() + i, load(values + p * problem.step() + i, extent), Whole{});
      });
    }
  }

  // The block that begins at position `first`, for the rows from `panel` on.
  void add_block(const Problem& problem, std::int64_t panel, std::int64_t first, std::int64_t count) {
    std::int64_t visible[panel_rows];
    for (int r = 0; r < panel_rows; ++r) {
      visible[r] = softmax_[panel + r].visible(first, count);
    }
    const std::int64_t vectors = (visible[panel_rows - 1] + lanes - 1) / lanes;
    if (vectors == 0) {
      return;
    }
    const std::int64_t pitch = problem.pitch();
    score_block(q_ + panel * pitch, pitch, problem.width, vectors);
    float corrections[panel_rows];
    weigh_rows<panel_rows>(softmax_ + panel, scores_, vectors, visible, corrections);
    float* outputs = outputs_ + panel * pitch;
    add_values_block(corrections, visible[0], outputs, pitch);
    for (int r = 1; r < panel_rows; ++r) {
      add_rest(scores_ + r * positions_per_block, values_, pitch, visible[0], visible[r], pitch, outputs + r * pitch);
    }
  }

  [[gnu::flatten]] void score_block(const float* q, std::int64_t pitch, std::int64_t width, std::int64_t vectors) {
    for_each_vectors(vectors, [&]<int n>(std::int64_t v, std::integral_constant<int, n>) {
      Floats sums[panel_rows][n] = {};
      multiply(q, pitch, keys_ + v * lanes, block_, width, sums);
#pragma GCC unroll 8
      for (int r = 0; r < panel_rows; ++r) {
#pragma GCC unroll 8
        for (int i = 0; i < n; ++i) {
          store(scores_ + r * positions_per_block + (v + i) * lanes, sums[r][i], Whole{});
        }
      }
    });
  }

  [[gnu::flatten]] void add_values_block(const float* corrections, std::int64_t positions, float* outputs,
                                         std::int64_t pitch) {
    for_each_vectors(pitch / lanes, [&]<int n>(std::int64_t v, std::integral_constant<int, n>) {
      Floats sums[panel_rows][n] = {};
      multiply(scores_, positions_per_block, values_ + v * lanes, pitch, positions, sums);
#pragma GCC unroll 8
      for (int r = 0; r < panel_rows; ++r) {
#pragma GCC unroll 8
        for (int i = 0; i < n; ++i) {
          float* to = outputs + r * pitch + (v + i) * lanes;
          store(to, load(to, Whole{}) * corrections[r] + sums[r][i], Whole{});
        }
      }
    });
  }

  alignas(64) float q_[max_row_floats];  // scaled
  alignas(64) float outputs_[max_row_floats];
  alignas(64) float keys_[max_block_floats];   // element i of all positions, then element i + 1
  alignas(64) float values_[max_block_floats];
  alignas(64) float scores_[panel_rows * positions_per_block];
  Softmax softmax_[max_rows];
  std::int64_t block_;  // positions of a block: fewer where rows are wide
};

}  // namespace layerhub::attention
