// SPDX-License-Identifier: Apache-2.0
// What the norms share: their params as float32, made once in create(), and rows given out to the host's threads.
//
// A row is never split: its sum has one order, so the bits do not depend on the number of threads. Sums run
// in four vectors or eight, which hides the latency of addition, and in blocks, which keeps each chain short,
// so float32 is exact enough for any width.
#pragma once

#include <layerhub/sdk/column_sums.hpp>
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <cmath>
#include <memory>
#include <new>
#include <utility>

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

// Floats, 0 at first, that begin with a line of the cache: no vector of them, taken in order, lies across two.
class AlignedFloats {
 public:
  explicit AlignedFloats(std::size_t size) : floats_(new (alignment) float[size]()), size_(size) {}

  std::size_t size() const { return size_; }
  float* data() { return floats_.get(); }
  const float* data() const { return floats_.get(); }

 private:
  static constexpr std::align_val_t alignment{cache_line_bytes};
  struct Free {
    void operator()(float* floats) const { ::operator delete[](floats, alignment); }
  };
  std::unique_ptr<float[], Free> floats_;
  std::size_t size_;
};

// A one-dimensional param of any float dtype and stride; for NULL as many zeros as it would have.
inline AlignedFloats copy_param(const DLTensor* param, std::size_t absent_size = 0) {
  AlignedFloats copy(param == nullptr ? absent_size : static_cast<std::size_t>(param->shape[0]));
  if (param != nullptr) {
    visit_float(param->dtype, [&]<class T>() {
      for (std::size_t i = 0; i < copy.size(); ++i) {
        copy.data()[i] = to_float(data<T>(*param)[static_cast<std::int64_t>(i) * param->strides[0]]);
      }
    });
  }
  return copy;
}

// A float for each column, for rows that may be taken by pairs.
class ColumnWeights {
 public:
  explicit ColumnWeights(const DLTensor* param)
      : in_order_(copy_param(param)), even_((in_order_.size() + 1) / 2), odd_(in_order_.size() / 2) {
    for (std::size_t i = 0; i < in_order_.size(); ++i) {
      (i % 2 == 0 ? even_ : odd_).data()[i / 2] = canonical(in_order_.data()[i]);
    }
  }

  // What a loop over columns holds: valid as long as the weights are. All its pairs begin at even columns, or at odd.
  class View {
   public:
    template <class Extent>
    Floats load(std::int64_t i, Extent extent) const {
      return sdk::load(in_order_ + i, extent);
    }
    FloatPair load(std::int64_t i, Pair) const {
      const auto column = static_cast<std::uintptr_t>(2 * i);
      return {load_every_other(even_ + column), load_every_other(odd_ + column)};
    }

   private:
    friend ColumnWeights;
    View(const ColumnWeights& weights, bool is_odd)
        : in_order_(weights.in_order_.data()),
          even_(reinterpret_cast<std::uintptr_t>(weights.even_.data())),
          odd_(reinterpret_cast<std::uintptr_t>(weights.odd_.data())) {
      if (is_odd) {
        std::swap(even_, odd_);
        even_ -= 2;
        odd_ += 2;
      }
    }
    static Floats load_every_other(std::uintptr_t from) {
      return sdk::load(reinterpret_cast<const float*>(from), Whole{});
    }

    const float* in_order_;
    std::uintptr_t even_, odd_;  // addresses: 2 bytes for each column, a float for every other one
  };
  // first: a column that pairs begin at.
  View view(std::int64_t first) const { return View(*this, first % 2 != 0); }

 private:
  AlignedFloats in_order_, even_, odd_;  // of all columns, and of every other one
};

// The sum of term(i, extent) over the elements [begin, end) of a row, in lanes; terms of lanes beyond a part must be 0.
// Sums: Floats, or what has + as they do.
template <class Sums, class Term>
Sums sum_block_in_lanes(std::int64_t begin, std::int64_t end, Term&& term) {
  Sums sums[4] = {};
  std::int64_t i = begin;
  for (; i + 4 * lanes <= end; i += 4 * lanes) {
    for (int k = 0; k < 4; ++k) {
      sums[k] = sums[k] + term(i + k * lanes, Whole{});
    }
  }
  for (int k = 0; i + lanes <= end; i += lanes, ++k) {
    sums[k] = sums[k] + term(i, Whole{});
  }
  if (i < end) {
    sums[3] = sums[3] + term(i, Part{end - i});
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// sum_block(begin, end), added up over blocks of a row: rounding errors grow within a block and with the number of
// blocks, not with the width.
template <class SumBlock>
auto sum_of_blocks(std::int64_t width, SumBlock&& sum_block) {
  constexpr std::int64_t block = 8192;
  auto sums = sum_block(std::int64_t{0}, width < block ? width : block);
  for (std::int64_t begin = block; begin < width; begin += block) {
    sums = sums + sum_block(begin, width - begin < block ? width : begin + block);
  }
  return sums;
}

template <class Sums = Floats, class Term>
Sums sum_row_in_lanes(std::int64_t width, Term&& term) {
  return sum_of_blocks(
      width, [&](std::int64_t begin, std::int64_t end) { return sum_block_in_lanes<Sums>(begin, end, term); });
}

template <class Term>
float sum_row(std::int64_t width, Term&& term) {
  return sum(sum_row_in_lanes(width, term));
}

template <class T>
Floats squares_in_lanes(const T* x, std::int64_t width) {
  return sum_row_in_lanes(width, [&](std::int64_t i, auto extent) {
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
// A sum does not mind the order.
inline float sum_of_bfloat16_squares(const bfloat16* x, std::int64_t width) {
  constexpr std::int64_t pairs = 2 * lanes;
  Floats sums[8] = {};
  std::int64_t i = 0;
  for (; i + 4 * pairs <= width; i += 4 * pairs) {
    for (int k = 0; k < 4; ++k) {
      const FloatPair v = load(x + i + k * pairs, Pair{});
      sums[2 * k] += v.even * v.even;
      sums[2 * k + 1] += v.odd * v.odd;
    }
  }
  for (int k = 0; k < 4; ++k) {
    sums[k] += sums[k + 4];
  }
  Floats total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  if (i < width) {
    total += squares_in_lanes(x + i, width - i);
  }
  return sum(total);
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
    return sum_of_blocks(
        width, [x](std::int64_t begin, std::int64_t end) { return sum_of_bfloat16_squares(x + begin, end - begin); });
  } else {
    return sum(squares_in_lanes(x, width));
  }
}

// Where a vector is short, computing takes as long as memory, and a row's sums are taken before the row before it is
// written: nothing waits for the end of one. Where it is not, one row after the other leaves memory less to do at once.
inline constexpr bool sums_ahead = lanes < 16;

// Runs body(row, measured, width, is_streamed) for each row of x, with measured = measure(row, width). `written`, of
// x's shape and dtype, decides is_streamed; NULL: nothing of that size is written. What is streamed asks for its inputs
// ahead, line by line as it writes: all of a row at once would fill the processor's buffers, which the stores past the
// cache need too.
template <class T, class Measure, class Body>
void for_each_row(const lh_host* host, const DLTensor& x, const DLTensor* written, Measure&& measure, Body&& body) {
  const std::int64_t width = last_dim(x);
  const std::int64_t rows = width == 0 ? 0 : row_count(x);
  if (rows == 1) {  // a token's: what follows costs as much as a tenth of its work
    return body(0, measure(0, width), width, false);
  }
  const bool is_streamed = written != nullptr && rows * width * static_cast<std::int64_t>(sizeof(T)) >= streamed_bytes;
  const auto run = [&](Range range, std::uint32_t) {
    decltype(measure(range.begin, width)) measured{};
    for (std::int64_t next = range.begin; next < range.end + sums_ahead; ++next) {
      const auto last = measured;
      if (next < range.end) {
        measured = measure(next, width);
      }
      if (!sums_ahead) {
        body(next, measured, width, is_streamed);
      } else if (next > range.begin) {
        body(next - 1, last, width, is_streamed);
      }
    }
    if (is_streamed) {
      stream_end();
    }
  };
  parallel_ranges(host, rows, (least_per_worker + width) / (width + 1), 1, run);
}

// The rows of a backward: kept[row] = measure(x, width), then body(x, grad_y, grad_x, kept, width, is_streamed) where
// the gradient of x is wanted.
template <class T, class Kept, class Measure, class Body>
void write_input_gradient(const lh_call& call, Kept* kept, Measure&& measure, Body&& body) {
  const DLTensor &x = *call.in[0], &grad_y = *call.grad_out[0];
  DLTensor* const grad_x = call.grad_in[0];
  for_each_row<T>(
      call.host, x, grad_x,
      [&](std::int64_t index, std::int64_t width) { return kept[index] = measure(row<const T>(x, index), width); },
      [&](std::int64_t index, const Kept& own, std::int64_t width, bool is_streamed) {
        if (grad_x != nullptr) {
          body(row<const T>(x, index), row<const T>(grad_y, index), row<T>(*grad_x, index), own, width, is_streamed);
        }
      });
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
