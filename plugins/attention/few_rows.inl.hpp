// SPDX-License-Identifier: Apache-2.0
// Attention for up to four rows of a key head: a step of one token with its group of query heads.
//
// Bound by reading the caches, so they are read once for all rows, in their own width and where they are. A score is a
// dot product of two rows that lie along the lanes; the sums across lanes are taken for a vector of positions at once.
// Values are added with the rows' outputs in registers. A row is a line or two between those of other heads, which is
// no pattern that processors fetch ahead of, so rows are asked for long before they are read.
#pragma once

#include "problem.inl.hpp"

#include <type_traits>

namespace layerhub::attention {

constexpr std::int64_t few_rows = 4;
constexpr std::int64_t prefetched_positions = 64;  // how far ahead: some microseconds of work

// Asks for the lines of `count` elements, `step` elements a position, that are as many positions behind `from`. Never
// faults: what is not there is not fetched.
template <class C>
void prefetch_row(const C* from, std::int64_t step, std::int64_t count) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(C));
  const char* line = reinterpret_cast<const char*>(from) + prefetched_positions * step * size;
  for (std::int64_t i = 0; i < count * size; i += cache_line_bytes) {
    _mm_prefetch(line + i, _MM_HINT_T0);
  }
}

// scores[r][p] = q[r] . keys[p] for p < count; up to the next whole vector they are those of the last position.
template <int rows, class C>
[[gnu::flatten]] void score(const float* q, std::int64_t pitch, std::int64_t width, const C* keys, std::int64_t step,
                            std::int64_t count, float* scores) {
  // Positions whose sums fit registers together.
  constexpr int wanted = rows == 1 ? 8 : rows == few_rows && lanes < 16 ? 2 : 4;
  constexpr int at_once = wanted < lanes ? wanted : lanes;
  for (std::int64_t p = 0; p < count; p += lanes) {
    Floats products[rows][lanes];
    for (int j = 0; j < lanes; j += at_once) {
      const C* key[at_once];
      for (int n = 0; n < at_once; ++n) {
        key[n] = keys + std::min(p + j + n, count - 1) * step;
        prefetch_row(key[n], step, width);
      }
      Floats sums[rows][at_once] = {};
      for_each_vector(width, [&](std::int64_t i, auto extent) {
#pragma GCC unroll 8
        for (int n = 0; n < at_once; ++n) {
          const Floats k = load(key[n] + i, extent);
#pragma GCC unroll 8
          for (int r = 0; r < rows; ++r) {
            sums[r][n] += k * load(q + r * pitch + i, Whole{});
          }
        }
      });
#pragma GCC unroll 8
      for (int n = 0; n < at_once; ++n) {
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
          products[r][j + n] = sums[r][n];
        }
      }
    }
    for (int r = 0; r < rows; ++r) {
      store(scores + r * positions_per_block + p, sums_of(products[r]), Whole{});
    }
  }
}

// outputs[r] = outputs[r] * corrections[r] + the sum of weights[r][p] values[p] over p < count
template <int rows, class C>
[[gnu::flatten]] void add_values(const float* weights, const float* corrections, const C* values, std::int64_t step,
                                 std::int64_t count, std::int64_t width, float* outputs, std::int64_t pitch) {
  const auto add_columns = [&]<int vectors>(std::int64_t column, auto extent, std::integral_constant<int, vectors>) {
    Floats sums[rows][vectors];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        sums[r][v] = load(outputs + r * pitch + column + v * lanes, Whole{}) * corrections[r];
      }
    }
    for (std::int64_t p = 0; p < count; ++p) {
      prefetch_row(values + p * step + column, step, vectors * lanes);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        const Floats value = load(values + p * step + column + v * lanes, extent);
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
          sums[r][v] += weights[r * positions_per_block + p] * value;
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        store(outputs + r * pitch + column + v * lanes, sums[r][v], Whole{});
      }
    }
  };
  constexpr int wide = rows == few_rows && lanes < 16 ? 2 : 4;
  std::int64_t column = 0;
  for (; column + wide * lanes <= width; column += wide * lanes) {
    add_columns(column, Whole{}, std::integral_constant<int, wide>{});
  }
  for_each_vector(width - column, [&](std::int64_t i, auto extent) {
    add_columns(column + i, extent, std::integral_constant<int, 1>{});
  });
}

// For one row: the positions from .. to alone. A row never meets what comes after it, not even with a weight of 0: that
// could be infinite.
template <class C>
void add_rest(const float* weights, const C* values, std::int64_t step, std::int64_t from, std::int64_t to,
              std::int64_t width, float* output) {
  if (from < to) {
    constexpr float as_it_is = 1;
    add_values<1>(weights + from, &as_it_is, values + from * step, step, to - from, width, output, 0);
  }
}

class FewRows {
 public:
  static std::int64_t most_rows(std::int64_t) { return few_rows; }

  template <class T>
  void begin(const Problem& problem, const Rows& rows) {
    rows.for_each(problem, [&](std::int64_t r, std::int64_t token, std::int64_t head) {
      const T* from = row_of<const T>(problem.q, token, head);
      for_each_vector(problem.width, [&](std::int64_t i, auto extent) {
        store(q_ + r * problem.pitch() + i, load(from + i, extent) * problem.scale, Whole{});
        store(outputs_ + r * problem.pitch() + i, Floats{}, Whole{});
      });
      softmax_[r] = Softmax::of(problem.before + token + 1);
    });
  }

  // Adds the positions from .. to, in order. `to` is at most what the last row sees.
  template <class C>
  void add(const Problem& problem, const Rows& rows, std::int64_t from, std::int64_t to) {
    switch (rows.count) {
      case 1: return add_all<1, C>(problem, rows, from, to);
      case 2: return add_all<2, C>(problem, rows, from, to);
      case 3: return add_all<3, C>(problem, rows, from, to);
      default: return add_all<few_rows, C>(problem, rows, from, to);
    }
  }

  const Softmax& softmax(std::int64_t r) const { return softmax_[r]; }
  const float* output(const Problem& problem, std::int64_t r) const { return outputs_ + r * problem.pitch(); }

 private:
  template <int rows, class C>
  void add_all(const Problem& problem, const Rows& which, std::int64_t from, std::int64_t to) {
    const std::int64_t pitch = problem.pitch(), step = problem.step();
    for (std::int64_t first = from; first < to; first += positions_per_block) {
      const std::int64_t count = std::min(positions_per_block, to - first);
      const std::int64_t offset = first * step + which.kv_head * problem.width;
      const C* values = data<const C>(problem.v_cache) + offset;
      score<rows>(q_, pitch, problem.width, data<const C>(problem.k_cache) + offset, step, count, scores_);
      std::int64_t visible[rows];
      float corrections[rows];
      for (int r = 0; r < rows; ++r) {
        visible[r] = softmax_[r].visible(first, count);
      }
      weigh_rows<rows>(softmax_, scores_, (count + lanes - 1) / lanes, visible, corrections);
      // What all rows see; then, where the rows are of several tokens, what the later ones see beyond.
      const std::int64_t shared = visible[0];
      add_values<rows>(scores_, corrections, values, step, shared, problem.width, outputs_, pitch);
      for (int r = 1; r < rows; ++r) {
        add_rest(scores_ + r * positions_per_block, values, step, shared, visible[r], problem.width,
                 outputs_ + r * pitch);
      }
    }
  }

  alignas(64) float q_[few_rows * max_width];  // scaled
  alignas(64) float outputs_[few_rows * max_width];
  alignas(64) float scores_[few_rows * positions_per_block];
  Softmax softmax_[few_rows];
};

}  // namespace layerhub::attention
