// SPDX-License-Identifier: Apache-2.0
// ResidualRMSNorm on CUDA and HIP: two reads and two writes for each element, where the addition and the norm apart
// need three and two. The norm is that of the sum before it is rounded.
#include "norm.gpu.inl.hpp"

#include <layerhub/layers/norm.hpp>

namespace {

using namespace layerhub::norm;

class ResidualRmsNorm {
 public:
  static constexpr std::uint32_t traits =
      LH_TRAIT_CAPTURE_SAFE | LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{
      dtype_in("hidden_states", f32, bf16, f16), dtype_in("weight", f32, bf16, f16), last_dim_dense("hidden_states"),
      last_dim_dense("residual"), last_dim_dense("output"), last_dim_dense("new_residual")};

  explicit ResidualRmsNorm(const CreateArgs& args) : epsilon_(static_cast<float>(args.real("variance_epsilon"))) {}

  void update_params(const CreateArgs&) {}  // the weight is read where the host has it

  void forward(const lh_call& call) const {
    visit_float(call.in[0]->dtype, [&]<class T>() {
      Operands<T> o = operands<T>(*call.in[0], *call.out[0], *call.in[2], epsilon_);
      o.residual = gpu::rows_of<const T>(*call.in[1]);
      o.new_residual = gpu::rows_of<T>(*call.out[1]);
      run<Form::residual_rms>(call, o);
    });
  }

 private:
  float epsilon_;
};

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, ResidualRmsNorm, layerhub::layers::ResidualRMSNorm, "gpu");

}  // namespace
