// SPDX-License-Identifier: Apache-2.0
// What the norms share: their params as float32, made once in create(), and rows given out to the host's threads.
//
// A row is never split: its sum has one order, so the bits do not depend on the number of threads. Sums run
// in four vectors, which hides the latency of addition and keeps each chain short, so float32 is exact
// enough for any width.
#pragma once

#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <cmath>
#include <vector>

namespace layerhub::norm {

using namespace layerhub::sdk;

// Elements that are worth a second worker.
inline constexpr std::int64_t least_per_worker = 16384;
// From here on the output goes past the cache.
inline constexpr std::int64_t streamed_bytes = std::int64_t{32} << 20;

// What every norm promises of its forward and backward.
inline constexpr std::uint32_t norm_traits =
    LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_OWNS_PARAMS | LH_TRAIT_NO_WORKSPACE;

// What every norm asks of its tensors, and what one of them asks besides.
template <class... More>
constexpr auto norm_constraints(More... more) {
  return std::array{dtype_in("hidden_states", f32, bf16, f16),
                    dtype_in("weight", f32, bf16, f16),
                    last_dim_dense("hidden_states"),
                    last_dim_dense("output"),
                    strided_ok("weight"),
                    more...};
}

// A one-dimensional param of any float dtype and stride; empty for NULL.
inline std::vector<float> copy_param(const DLTensor* param) {
  std::vector<float> copy;
  if (param != nullptr) {
    copy.resize(static_cast<std::size_t>(param->shape[0]));
    visit_float(param->dtype, [&]<class T>() {
      for (std::size_t i = 0; i < copy.size(); ++i) {
        copy[i] = to_float(data<T>(*param)[static_cast<std::int64_t>(i) * param->strides[0]]);
      }
    });
  }
  return copy;
}

// The sum of term(i, extent) over a row of `width` elements; terms of lanes beyond a part must be 0.
template <class Term>
float sum_row(std::int64_t width, Term&& term) {
  Floats sums[4] = {};
  std::int64_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) {
    for (int k = 0; k < 4; ++k) {
      sums[k] += term(i + k * lanes, Whole{});
    }
  }
  for (int k = 0; i + lanes <= width; i += lanes, ++k) {
    sums[k] += term(i, Whole{});
  }
  if (i < width) {
    sums[3] += term(i, Part{width - i});
  }
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T>
float sum_of_any_squares(const T* x, std::int64_t width) {
  return sum_row(width, [&](std::int64_t i, auto extent) {
    const Floats v = load(x + i, extent);
    return v * v;
  });
}

#if defined(__AVX512BF16__) && defined(LAYERHUB_VECTOR_AVX512)
// One instruction squares a pair of bfloat16 and adds it to a float.
inline float sum_of_bfloat16_squares(const bfloat16* x, std::int64_t width) {
  constexpr std::int64_t pairs = 2 * lanes;
  __m512 sums[4] = {};
  const auto add = [](__m512& to, __m512i v) {
    to = _mm512_dpbf16_ps(to, reinterpret_cast<__m512bh>(v), reinterpret_cast<__m512bh>(v));
  };
  std::int64_t i = 0;
  for (; i + 4 * pairs <= width; i += 4 * pairs) {
    for (int k = 0; k < 4; ++k) {
      add(sums[k], _mm512_loadu_si512(x + i + k * pairs));
    }
  }
  for (int k = 0; i < width; i += pairs, ++k) {
    const std::int64_t left = width - i;
    const __mmask32 part = left >= pairs ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
    add(sums[k], _mm512_maskz_loadu_epi16(part, x + i));
  }
  return sum(reinterpret_cast<Floats>((sums[0] + sums[1]) + (sums[2] + sums[3])));
}
#else
// Two bfloat16 of a lane are two floats with no shuffle: one shifted up, one as it stands with the other masked away. A
// sum does not mind the order.
inline float sum_of_bfloat16_squares(const bfloat16* x, std::int64_t width) {
  constexpr std::int64_t pairs = 2 * lanes;
  Floats sums[4] = {};
  std::int64_t i = 0;
  for (; i + 2 * pairs <= width; i += 2 * pairs) {
    for (int k = 0; k < 2; ++k) {
      const Bits v = detail::load_bits<Bits>(x + i + k * pairs, Whole{});
      const Floats even = reinterpret_cast<Floats>(v << 16), odd = reinterpret_cast<Floats>(v & 0xffff0000u);
      sums[2 * k] += even * even;
      sums[2 * k + 1] += odd * odd;
    }
  }
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3])) + sum_of_any_squares(x + i, width - i);
}
#endif

// 1 / rms of a row, from the sum of its squares. All results wait for it: its width is inverted before the sum is
// there.
inline float scale_of(float squares, std::int64_t width, float epsilon) {
  return 1.f / std::sqrt(squares * (1.f / static_cast<float>(width)) + epsilon);
}

// The sum of the squares of a row.
template <class T>
float sum_of_squares(const T* x, std::int64_t width) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    return sum_of_bfloat16_squares(x, width);
  } else {
    return sum_of_any_squares(x, width);
  }
}

template <class T>
void prefetch_row(const T* x, std::int64_t width) {
  constexpr std::int64_t line = 64 / sizeof(T);
  for (std::int64_t i = 0; i < width; i += line) {
    prefetch_ahead(x + i);
  }
}

// Runs body(row, width, is_streamed) for each row of x. `written`, of x's shape and dtype, decides is_streamed; NULL:
// nothing of that size is written.
template <class T, class Body>
void for_each_row(const lh_host* host, const DLTensor& x, const DLTensor* written, Body&& body) {
  const std::int64_t width = last_dim(x);
  const std::int64_t rows = width == 0 ? 0 : row_count(x);
  const bool is_streamed =
      written != nullptr && rows * width * static_cast<std::int64_t>(sizeof(T)) >= streamed_bytes;
  const auto run = [&](Range range, std::uint32_t) {
    for (std::int64_t index = range.begin; index < range.end; ++index) {
      if (is_streamed) {
        prefetch_row(row<const T>(x, index), width);
      }
      body(index, width, is_streamed);
    }
    if (is_streamed) {
      stream_end();
    }
  };
  if (rows == 1) {
    run({0, 1}, 0);  // a token's: what follows costs as much as a tenth of its work
  } else {
    parallel_ranges(host, rows, (least_per_worker + width) / (width + 1), 1, run);
  }
}

// grad_param[c] = the sum over all rows of term(row, c, extent). Workers share the columns and never the rows: the
// order of additions is the same for any number of them. NULL: not wanted.
template <class Term>
void write_param_gradient(const lh_host* host, DLTensor* grad_param, std::int64_t rows, Term&& term) {
  if (grad_param == nullptr) {
    return;
  }
  const std::int64_t least_columns = (least_per_worker + rows) / (rows + 1);
  parallel_ranges(host, last_dim(*grad_param), least_columns, column_grain, [&](Range range, std::uint32_t) {
    visit_float(grad_param->dtype,
                [&]<class P>() { write_column_sums(data<P>(*grad_param), range.begin, range.end, rows, term); });
  });
}

}  // namespace layerhub::norm
