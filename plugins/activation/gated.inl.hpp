// SPDX-License-Identifier: Apache-2.0
// The gated activations: y = act(x[..., :d]) * x[..., d:], and MulAndSilu with the halves exchanged. One pass over x.
// Limit aimed at: the stream of two reads and one write out of cache; in cache, the arithmetic of exp.
// Backward: grad_gate = grad_y up act'(gate) and grad_up = grad_y act(gate), which share one exponential.
#pragma once

#include "elementwise.inl.hpp"

#include <layerhub/layers/activation.hpp>

#include <algorithm>

namespace {

using namespace layerhub::activation;

// Whether the halves of rows are asked for in the order of memory. A run is what the processor's own prefetching goes
// along with, where two that break off at the end of each row are none: with rows of 12 KiB out of cache, on an EPYC of
// the fifth generation, a pass takes 0.75 of the time with AVX-512. Short rows are runs as they are, those that no
// cache near the processor holds have long ones, and rows with gaps are none.
template <class T>
bool are_asked_in_order(const DLTensor& x, std::int64_t width) {
  constexpr std::int64_t least_bytes_of_half = 1024, most_bytes_of_half = std::int64_t{1} << 18;
  const std::int64_t half = width * static_cast<std::int64_t>(sizeof(T));
  return half >= least_bytes_of_half && half <= most_bytes_of_half && is_dense(x);
}

// For write(): asks for the two elements of x that each element of y takes, from `column` of both halves on; in the
// order of memory that is half a row and some more ahead.
template <class T>
auto asked_ahead(const T* row, std::int64_t width, std::int64_t column, bool is_in_order) {
  const T* first = is_in_order ? row + width + 2 * column : row + column;
  const T* second = first + (is_in_order ? layerhub::sdk::detail::line_elements<T> : width);
  const std::int64_t step = is_in_order ? 2 : 1;
  return [=](std::int64_t i) {
    prefetch_ahead(first + step * i);
    prefetch_ahead(second + step * i);
  };
}

// activated: which half of a row the function is applied to, 0 or 1.
template <class Function, int activated>
struct Gated {
  static constexpr std::array constraints{dtype_in("x", f32, bf16, f16), last_dim_dense("x"), last_dim_dense("y")};

  static void forward(const lh_call& call) {
    visit_float(call.in[0]->dtype, [&]<class T>() { run<T>(call, *call.in[0], *call.out[0]); });
  }

  static void backward(const lh_call& call) {
    if (call.grad_in[0] != nullptr) {
      visit_float(call.in[0]->dtype,
                  [&]<class T>() { run_backward<T>(call, *call.in[0], *call.grad_out[0], *call.grad_in[0]); });
    }
  }

 private:
  template <class T>
  static void run(const lh_call& call, const DLTensor& x, const DLTensor& y) {
    const std::int64_t width = last_dim(y);
    const bool is_in_order = are_asked_in_order<T>(x, width);
    for_each_run<T>(call, y, [&](std::int64_t index, std::int64_t column, std::int64_t columns, bool is_streamed) {
      const T* gate = row<T>(x, index) + activated * width + column;
      const T* up = row<T>(x, index) + (1 - activated) * width + column;
      write(row<T>(y, index) + column, columns, is_streamed, ByPairs{[=](std::int64_t i, auto extent) {
              return value_of<Function, T>(load(gate + i, extent)) * load(up + i, extent);
            }},
            asked_ahead(row<const T>(x, index), width, column, is_in_order));
    });
  }

  template <class T>
  static void run_backward(const lh_call& call, const DLTensor& x, const DLTensor& grad_y, const DLTensor& grad_x) {
    const std::int64_t width = last_dim(grad_y);
    for_each_run<T>(call, grad_y, [&](std::int64_t index, std::int64_t column, std::int64_t columns, bool is_streamed) {
      const T* gate = row<T>(x, index) + activated * width + column;
      const T* up = row<T>(x, index) + (1 - activated) * width + column;
      const T* grad = row<T>(grad_y, index) + column;
      T* grad_gate = row<T>(grad_x, index) + activated * width + column;
      T* grad_up = row<T>(grad_x, index) + (1 - activated) * width + column;
      for (std::int64_t begin = 0; begin < columns; begin += kept) {
        const std::int64_t count = std::min(kept, columns - begin);
        run_pair(gate + begin, up + begin, grad + begin, grad_gate + begin, grad_up + begin, count, is_streamed);
      }
    });
  }

  // count <= kept. Each write has one destination, as stores past the cache ask for: what is meant for the second one
  // waits in the nearest cache.
  template <class T>
  static void run_pair(const T* gate, const T* up, const T* grad, T* grad_gate, T* grad_up, std::int64_t count,
                       bool is_streamed) {
    float memory[kept], *const waiting = memory;  // an array would be copied with what captures it
    write(grad_gate, count, is_streamed, [=](std::int64_t i, auto extent) {
      const ValueAndSlope function = Function::with_slope(load(gate + i, extent));
      const Floats g = load(grad + i, extent);
      store(waiting + i, g * function.value, extent);
      return g * load(up + i, extent) * function.slope;
    });
    write(grad_up, count, is_streamed, [=](std::int64_t i, auto extent) { return load(waiting + i, extent); });
  }

  static constexpr std::int64_t kept = 1024;
};

using SiluAndMul = Gated<SiluFunction, 0>;
using GeluAndMul = Gated<GeluFunction, 0>;
using GeluTanhAndMul = Gated<GeluTanhFunction, 0>;
using MulAndSilu = Gated<SiluFunction, 1>;

LAYERHUB_KERNEL(SiluAndMul, layerhub::layers::SiluAndMul, "vector");
LAYERHUB_KERNEL(GeluAndMul, layerhub::layers::GeluAndMul, "vector");
LAYERHUB_KERNEL(GeluTanhAndMul, layerhub::layers::GeluTanhAndMul, "vector");
LAYERHUB_KERNEL(MulAndSilu, layerhub::layers::MulAndSilu, "vector");

}  // namespace
