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

inline Floats silu(Floats x) { return x * sigmoid(x); }
inline Floats gelu(Floats x) { return x * normal_cdf(x); }
// (1 + tanh(u)) / 2 = sigmoid(2 u): one exponential and no cancellation on the negative side.
inline Floats gelu_tanh(Floats x) { return x * sigmoid((x + x * x * x * 0.044715f) * 1.59576912f); }
inline Floats fast_gelu(Floats x) { return x * sigmoid(x * 1.59576912f * (x * x * 0.044715f + 1.f)); }
inline Floats quick_gelu(Floats x) { return x * sigmoid(x * 1.702f); }
// Not (x > 0 ? x : 0), which would lose NaN.
inline Floats relu(Floats x) { return x <= 0.f ? Floats{} : x; }

// Their derivatives. Each repeats its function's exponential letter for letter, so that a kernel that needs both
// computes one. A factor that grows with x stands beside one that vanishes: bounded keeps infinity out of the product,
// where it would make NaN. At 100 all of them have long reached their limits, 0 and 1.
inline Floats bounded(Floats x) {
  x = x > 100.f ? broadcast(100.f) : x;
  return x < -100.f ? broadcast(-100.f) : x;
}
// The derivative of x sigmoid(u(x)), given s = sigmoid(u(x)) and u'(x).
inline Floats sigmoid_slope(Floats x, Floats s, Floats inner) { return s + bounded(x) * inner * (s * (1.f - s)); }
inline Floats silu_slope(Floats x) { return sigmoid_slope(x, sigmoid(x), broadcast(1.f)); }
inline Floats gelu_slope(Floats x) { return normal_cdf(x) + bounded(x) * normal_density(x); }
// u'(x) of both tanh forms; 0.134145 = 3 * 0.044715.
inline Floats tanh_inner_slope(Floats x) { return (bounded(x) * bounded(x) * 0.134145f + 1.f) * 1.59576912f; }
inline Floats gelu_tanh_slope(Floats x) {
  return sigmoid_slope(x, sigmoid((x + x * x * x * 0.044715f) * 1.59576912f), tanh_inner_slope(x));
}
inline Floats fast_gelu_slope(Floats x) {
  return sigmoid_slope(x, sigmoid(x * 1.59576912f * (x * x * 0.044715f + 1.f)), tanh_inner_slope(x));
}
inline Floats quick_gelu_slope(Floats x) { return sigmoid_slope(x, sigmoid(x * 1.702f), broadcast(1.702f)); }
// 0 at the kink; NaN stays NaN.
inline Floats relu_slope(Floats x) { return x <= 0.f ? Floats{} : (x > 0.f ? broadcast(1.f) : x); }

}  // namespace layerhub::activation
