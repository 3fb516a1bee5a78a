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

}  // namespace layerhub::activation
