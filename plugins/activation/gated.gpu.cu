// SPDX-License-Identifier: Apache-2.0
// The gated activations on CUDA and HIP: y = act(x[..., :d]) * x[..., d:], and MulAndSilu with the halves exchanged.
// Backward: grad_gate = grad_y up act'(gate) and grad_up = grad_y act(gate), which share one exponential.
#include "elementwise.gpu.inl.hpp"
#include "functions.gpu.inl.hpp"

#include <layerhub/layers/activation.hpp>

namespace {

using namespace layerhub::activation;

template <class Function>
struct Product {
  static constexpr int inputs = 2, outputs = 1;  // gate, up; y
  __device__ static void apply(const float (&in)[2], float (&out)[1]) { out[0] = Function::value(in[0]) * in[1]; }
};

template <class Function>
struct ProductGradients {
  static constexpr int inputs = 3, outputs = 2;  // gate, up, grad_y; grad_gate, grad_up
  __device__ static void apply(const float (&in)[3], float (&out)[2]) {
    out[0] = in[2] * in[1] * Function::slope(in[0]);
    out[1] = in[2] * Function::value(in[0]);
  }
};

// activated: which half of a row the activation is applied to, 0 or 1.
template <class Function, int activated>
struct Gated {
  static constexpr std::uint32_t traits =
      LH_TRAIT_CAPTURE_SAFE | LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{dtype_in("x", f32, bf16, f16), last_dim_dense("x"), last_dim_dense("y")};

  static void forward(const lh_call& call) {
    const DLTensor &x = *call.in[0], &y = *call.out[0];
    apply<Product<Function>>(call, y, {{gate_of(x), up_of(x), {&y}}});
  }

  static void backward(const lh_call& call) {
    if (call.grad_in[0] != nullptr) {
      const DLTensor &x = *call.in[0], &grad_y = *call.grad_out[0], &grad_x = *call.grad_in[0];
      apply<ProductGradients<Function>>(call, grad_y,
                                        {{gate_of(x), up_of(x), {&grad_y}, gate_of(grad_x), up_of(grad_x)}});
    }
  }

 private:
  static Operand gate_of(const DLTensor& x) { return {&x, activated * last_dim(x) / 2}; }
  static Operand up_of(const DLTensor& x) { return {&x, (1 - activated) * last_dim(x) / 2}; }
};

using SiluAndMul = Gated<SiluFunction, 0>;
using GeluAndMul = Gated<GeluFunction, 0>;
using GeluTanhAndMul = Gated<GeluTanhFunction, 0>;
using MulAndSilu = Gated<SiluFunction, 1>;

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, SiluAndMul, layerhub::layers::SiluAndMul, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, GeluAndMul, layerhub::layers::GeluAndMul, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, GeluTanhAndMul, layerhub::layers::GeluTanhAndMul, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, MulAndSilu, layerhub::layers::MulAndSilu, "gpu");

}  // namespace
