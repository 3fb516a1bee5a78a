// SPDX-License-Identifier: Apache-2.0
// The activations that keep the shape, on CUDA and HIP: y = act(x), also in place.
// Backward: grad_x = grad_y act'(x), from x itself; nothing is saved by forward.
#include "elementwise.gpu.inl.hpp"
#include "functions.gpu.inl.hpp"

#include <layerhub/layers/activation.hpp>

namespace {

using namespace layerhub::activation;

template <class Function>
struct Value {
  static constexpr int inputs = 1, outputs = 1;
  __device__ static void apply(const float (&in)[1], float (&out)[1]) { out[0] = Function::value(in[0]); }
};

template <class Function>
struct Slope {
  static constexpr int inputs = 2, outputs = 1;  // x, grad_y; grad_x
  __device__ static void apply(const float (&in)[2], float (&out)[1]) { out[0] = in[1] * Function::slope(in[0]); }
};

template <class Function>
struct Unary {
  static constexpr std::uint32_t traits =
      LH_TRAIT_CAPTURE_SAFE | LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{dtype_in("x", f32, bf16, f16), last_dim_dense("x"), last_dim_dense("y"),
                                          may_alias("y", "x")};

  static void forward(const lh_call& call) {
    apply<Value<Function>>(call, *call.out[0], {{{call.in[0]}, {call.out[0]}}});
  }

  static void backward(const lh_call& call) {
    if (call.grad_in[0] != nullptr) {
      apply<Slope<Function>>(call, *call.grad_in[0], {{{call.in[0]}, {call.grad_out[0]}, {call.grad_in[0]}}});
    }
  }
};

using Silu = Unary<SiluFunction>;
using Gelu = Unary<GeluFunction>;
using GeluTanh = Unary<GeluTanhFunction>;
using NewGelu = GeluTanh;
using FastGelu = GeluTanh;
using QuickGelu = Unary<QuickGeluFunction>;
using Relu = Unary<ReluFunction>;

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, Silu, layerhub::layers::Silu, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, Gelu, layerhub::layers::Gelu, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, GeluTanh, layerhub::layers::GeluTanh, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, NewGelu, layerhub::layers::NewGELU, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, FastGelu, layerhub::layers::FastGELU, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, QuickGelu, layerhub::layers::QuickGELU, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, Relu, layerhub::layers::ReLU, "gpu");

}  // namespace
