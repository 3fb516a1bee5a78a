// SPDX-License-Identifier: Apache-2.0
// The activations that keep the shape: y = act(x), also in place. One read and one write for each element.
// Backward: grad_x = grad_y act'(x), from x itself; nothing is saved by forward.
#include "elementwise.inl.hpp"

#include <layerhub/layers/activation.hpp>

namespace {

using namespace layerhub::activation;

template <class Function>
struct Unary {
  static constexpr std::array constraints{dtype_in("x", f32, bf16, f16), last_dim_dense("x"), last_dim_dense("y"),
                                          may_alias("y", "x")};

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
    for_each_run<T>(call, y, [&](std::int64_t index, std::int64_t column, std::int64_t columns, bool is_streamed) {
      const T* from = row<T>(x, index) + column;
      write(row<T>(y, index) + column, columns, is_streamed,
            ByPairs{[=](std::int64_t i, auto extent) { return value_of<Function, T>(load(from + i, extent)); }});
    });
  }

  template <class T>
  static void run_backward(const lh_call& call, const DLTensor& x, const DLTensor& grad_y, const DLTensor& grad_x) {
    for_each_run<T>(call, grad_x, [&](std::int64_t index, std::int64_t column, std::int64_t columns, bool is_streamed) {
      const T* from = row<T>(x, index) + column;
      const T* grad = row<T>(grad_y, index) + column;
      write(row<T>(grad_x, index) + column, columns, is_streamed, [=](std::int64_t i, auto extent) {
        return load(grad + i, extent) * Function::with_slope(load(from + i, extent)).slope;
      });
    });
  }
};

using Silu = Unary<SiluFunction>;
using Gelu = Unary<GeluFunction>;
using GeluTanh = Unary<GeluTanhFunction>;
using FastGelu = Unary<FastGeluFunction>;
using QuickGelu = Unary<QuickGeluFunction>;
using Relu = Unary<ReluFunction>;

LAYERHUB_KERNEL(Silu, layerhub::layers::Silu, "vector");
LAYERHUB_KERNEL(Gelu, layerhub::layers::Gelu, "vector");
LAYERHUB_KERNEL(GeluTanh, layerhub::layers::GeluTanh, "vector");
LAYERHUB_KERNEL(FastGelu, layerhub::layers::FastGELU, "vector");
LAYERHUB_KERNEL(QuickGelu, layerhub::layers::QuickGELU, "vector");
LAYERHUB_KERNEL(Relu, layerhub::layers::ReLU, "vector");

// The constants of the two layers agree to more digits than a float has, so one arithmetic serves both.
using NewGelu = GeluTanh;
LAYERHUB_KERNEL(NewGelu, layerhub::layers::NewGELU, "vector");

}  // namespace
