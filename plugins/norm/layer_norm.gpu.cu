// SPDX-License-Identifier: Apache-2.0
// LayerNorm on CUDA and HIP: mean first, then the deviations from it. The one-pass form (mean of squares less square of
// mean) would lose all digits where the mean is large; the row is in registers anyway.
#include "norm.gpu.inl.hpp"
#include "norm_backward.gpu.inl.hpp"

#include <layerhub/layers/norm.hpp>

namespace {

using namespace layerhub::norm;

class LayerNorm {
 public:
  static constexpr std::uint32_t traits =
      LH_TRAIT_CAPTURE_SAFE | LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{
      dtype_in("hidden_states", f32, bf16, f16), dtype_in("weight", f32, bf16, f16), last_dim_dense("hidden_states"),
      last_dim_dense("output"), may_alias("output", "hidden_states")};
  // Where a row is nearly constant, the rounding of its mean is magnified by up to 1 / sqrt(variance_epsilon).
  static constexpr std::array tolerances{Tolerance{f32, 1e-5, 4e-5}, Tolerance{bf16, 8e-3, 1e-3},
                                         Tolerance{f16, 1e-3, 1e-4}};

  explicit LayerNorm(const CreateArgs& args)
      : epsilon_(static_cast<float>(args.real("variance_epsilon"))), blocks_(args.device()->device.device_id) {}

  void update_params(const CreateArgs&) {}  // they are read where the host has them

  void infer(InferCall& call) const { call.backward_workspace = blocks_.workspace(call.in[0], 2); }

  void forward(const lh_call& call) const {
    visit_float(call.in[0]->dtype, [&]<class T>() {
      Operands<T> o = operands<T>(*call.in[0], *call.out[0], *call.in[1], epsilon_);
      o.bias = gpu::AnyFloats(call.in[2]);
      run<Form::layer>(call, o);
    });
  }

  void backward(const lh_call& call) const { run_backward<Form::layer>(call, epsilon_, blocks_); }

 private:
  float epsilon_;
  BackwardBlocks blocks_;
};

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, LayerNorm, layerhub::layers::LayerNorm, "gpu");

}  // namespace
