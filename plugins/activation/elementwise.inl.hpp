// SPDX-License-Identifier: Apache-2.0
// What gated and unary activations share: the work is cut into runs of elements of y, one row's at a time,
// on the host's threads. Both are bound by memory once rows leave the cache, so a result that will not be
// found there again goes past it.
#pragma once

#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector_math.hpp>

namespace layerhub::activation {

using namespace layerhub::sdk;

// Elements that are worth a second worker: about 4 us of work, some hand-overs of a spinning pool.
inline constexpr std::int64_t least_per_worker = 16384;
// Cuts lie at multiples of it: no two workers write one cache line of a dense tensor.
inline constexpr std::int64_t grain = 64;
// From here on y goes past the cache. Below it, streaming costs more than it saves: whoever reads y next
// finds it nowhere.
inline constexpr std::int64_t streamed_bytes = std::int64_t{32} << 20;

// Runs body(row, first column, columns, is_streamed) until all of y is done.
template <class T, class Body>
void for_each_run(const lh_call& call, const DLTensor& y, Body&& body) {
  const std::int64_t width = last_dim(y);
  const std::int64_t count = element_count(y);
  const bool is_streamed = count * static_cast<std::int64_t>(sizeof(T)) >= streamed_bytes;
  parallel_ranges(call.host, count, least_per_worker, grain, [&](Range range, std::uint32_t) {
    while (range.begin < range.end) {
      const std::int64_t row_index = range.begin / width;
      const std::int64_t column = range.begin % width;
      const std::int64_t columns = width - column < range.end - range.begin ? width - column : range.end - range.begin;
      body(row_index, column, columns, is_streamed);
      range.begin += columns;
    }
    if (is_streamed) {
      stream_end();
    }
  });
}

// A factor that grows with x stands beside one that vanishes: bounded keeps infinity out of the product, where it would
// make NaN. At 100 all slopes have long reached their limits, 0 and 1.
inline Floats bounded(Floats x) { return within(x, -100.f, 100.f); }

// A function's values of what load() gives, one vector or two.
template <class Function, class T>
[[gnu::always_inline]] inline Floats value_of(Floats x) {
  return Function::template value<T>(x);
}
template <class Function, class T>
[[gnu::always_inline]] inline FloatPair value_of(FloatPair x) {
  return {Function::template value<T>(x.even), Function::template value<T>(x.odd)};
}

struct ValueAndSlope {
  Floats value, slope;
};

// x sigmoid(u(x)) and its derivative, given u(x) and u'(x).
[[gnu::always_inline]] inline ValueAndSlope sigmoid_gate(Floats x, Floats u, Floats inner_slope) {
  const Floats s = sigmoid(u);
  return {x * s, s + bounded(x) * inner_slope * (s * (1.f - s))};
}

// The functions: value<T>, as exact as results of dtype T can tell; and with its derivative, as exact as float32 asks
// for, since differences lose some digits. Inlined: a call for each vector would cost as much as some of them.
struct SiluFunction {
  template <class T>
  [[gnu::always_inline]] static Floats value(Floats x) {
    return times_sigmoid<T>(x, x);
  }
  [[gnu::always_inline]] static ValueAndSlope with_slope(Floats x) { return sigmoid_gate(x, x, broadcast(1.f)); }
};

struct GeluFunction {
  template <class T>
  [[gnu::always_inline]] static Floats value(Floats x) {
    return x * normal_cdf(x);
  }
  [[gnu::always_inline]] static ValueAndSlope with_slope(Floats x) {
    const Floats cdf = normal_cdf(x);
    return {x * cdf, cdf + bounded(x) * normal_density(x)};
  }
};

// u'(x) of both tanh forms; 0.134145 = 3 * 0.044715.
inline Floats tanh_inner_slope(Floats x) { return (bounded(x) * bounded(x) * 0.134145f + 1.f) * 1.59576912f; }

// (1 + tanh(u)) / 2 = sigmoid(2 u): one exponential and no cancellation on the negative side.
struct GeluTanhFunction {
  template <class T>
  [[gnu::always_inline]] static Floats value(Floats x) {
    return times_sigmoid<T>(x, inner(x));
  }
  [[gnu::always_inline]] static ValueAndSlope with_slope(Floats x) {
    return sigmoid_gate(x, inner(x), tanh_inner_slope(x));
  }

 private:
  static Floats inner(Floats x) { return (x + x * x * x * 0.044715f) * 1.59576912f; }
};

struct FastGeluFunction {
  template <class T>
  [[gnu::always_inline]] static Floats value(Floats x) {
    return times_sigmoid<T>(x, inner(x));
  }
  [[gnu::always_inline]] static ValueAndSlope with_slope(Floats x) {
    return sigmoid_gate(x, inner(x), tanh_inner_slope(x));
  }

 private:
  static Floats inner(Floats x) { return x * 1.59576912f * (x * x * 0.044715f + 1.f); }
};

struct QuickGeluFunction {
  template <class T>
  [[gnu::always_inline]] static Floats value(Floats x) {
    return times_sigmoid<T>(x, x * 1.702f);
  }
  [[gnu::always_inline]] static ValueAndSlope with_slope(Floats x) {
    return sigmoid_gate(x, x * 1.702f, broadcast(1.702f));
  }
};

// Not (x > 0 ? x : 0), which would lose NaN; the slope is 0 at the kink, and NaN stays NaN.
struct ReluFunction {
  template <class T>
  [[gnu::always_inline]] static Floats value(Floats x) {
    return x <= 0.f ? Floats{} : x;
  }
  [[gnu::always_inline]] static ValueAndSlope with_slope(Floats x) {
    return {value<float>(x), x <= 0.f ? Floats{} : (x > 0.f ? broadcast(1.f) : x)};
  }
};

}  // namespace layerhub::activation
