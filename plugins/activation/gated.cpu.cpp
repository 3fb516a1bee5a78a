// SPDX-License-Identifier: Apache-2.0
// The gated activations: y = act(x[..., :d]) * x[..., d:], and MulAndSilu with the halves exchanged. One pass over x.
// Limit aimed at: the stream of two reads and one write out of cache; in cache, the arithmetic of exp.
#include "elementwise.inl.hpp"

#include <layerhub/layers/activation.hpp>

namespace {

using namespace layerhub::activation;

// activated: which half of a row the activation is applied to, 0 or 1.
template <Floats (*activation)(Floats), int activated>
struct Gated {
  static constexpr std::array constraints{dtype_in("x", f32, bf16, f16), last_dim_dense("x"), last_dim_dense("y")};

  static void forward(const lh_call& call) {
    visit_float(call.in[0]->dtype, [&]<class T>() { run<T>(call, *call.in[0], *call.out[0]); });
  }

 private:
  template <class T>
  static void run(const lh_call& call, const DLTensor& x, const DLTensor& y) {
    const std::int64_t width = last_dim(y);
    for_each_run<T>(call, y, [&](std::int64_t index, std::int64_t column, std::int64_t columns, bool is_streamed) {
      const T* gate = row<T>(x, index) + activated * width + column;
      const T* up = row<T>(x, index) + (1 - activated) * width + column;
      write(row<T>(y, index) + column, columns, is_streamed,
            [&](std::int64_t i, auto extent) { return activation(load(gate + i, extent)) * load(up + i, extent); });
    });
  }
};

using SiluAndMul = Gated<silu, 0>;
using GeluAndMul = Gated<gelu, 0>;
using GeluTanhAndMul = Gated<gelu_tanh, 0>;
using MulAndSilu = Gated<silu, 1>;

LAYERHUB_KERNEL(SiluAndMul, layerhub::layers::SiluAndMul, "vector");
LAYERHUB_KERNEL(GeluAndMul, layerhub::layers::GeluAndMul, "vector");
LAYERHUB_KERNEL(GeluTanhAndMul, layerhub::layers::GeluTanhAndMul, "vector");
LAYERHUB_KERNEL(MulAndSilu, layerhub::layers::MulAndSilu, "vector");

}  // namespace
