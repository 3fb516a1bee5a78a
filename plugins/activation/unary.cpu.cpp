// SPDX-License-Identifier: Apache-2.0
// The activations that keep the shape: y = act(x), also in place. One read and one write for each element.
#include "elementwise.inl.hpp"

#include <layerhub/layers/activation.hpp>

namespace {

using namespace layerhub::activation;

template <Floats (*activation)(Floats)>
struct Unary {
  static constexpr std::array constraints{dtype_in("x", f32, bf16, f16), last_dim_dense("x"), last_dim_dense("y"),
                                          may_alias("y", "x")};

  static void forward(const lh_call& call) {
    visit_float(call.in[0]->dtype, [&]<class T>() { run<T>(call, *call.in[0], *call.out[0]); });
  }

 private:
  template <class T>
  static void run(const lh_call& call, const DLTensor& x, const DLTensor& y) {
    for_each_run<T>(call, y, [&](std::int64_t index, std::int64_t column, std::int64_t columns, bool is_streamed) {
      const T* from = row<T>(x, index) + column;
      write(row<T>(y, index) + column, columns, is_streamed,
            [&](std::int64_t i, auto extent) { return activation(load(from + i, extent)); });
    });
  }
};

using Silu = Unary<silu>;
using Gelu = Unary<gelu>;
using GeluTanh = Unary<gelu_tanh>;
using FastGelu = Unary<fast_gelu>;
using QuickGelu = Unary<quick_gelu>;
using Relu = Unary<relu>;

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
