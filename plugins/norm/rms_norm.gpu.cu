// SPDX-License-Identifier: Apache-2.0
// RMSNorm on CUDA and HIP.
#include "norm.gpu.inl.hpp"
#include "norm_backward.gpu.inl.hpp"

#include <layerhub/layers/norm.hpp>

namespace {

using namespace layerhub::norm;

class RmsNorm {
 public:
  static constexpr std::uint32_t traits =
      LH_TRAIT_CAPTURE_SAFE | LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{
      dtype_in("hidden_states", f32, bf16, f16), dtype_in("weight", f32, bf16, f16), last_dim_dense("hidden_states"),
      last_dim_dense("output"), may_alias("output", "hidden_states")};

  explicit RmsNorm(const CreateArgs& args)
      : epsilon_(static_cast<float>(args.real("variance_epsilon"))), blocks_(args.device()->device.device_id) {}

  void update_params(const CreateArgs&) {}  // the weight is read where the host has it

  void infer(InferCall& call) const { call.backward_workspace = blocks_.workspace(call.in[0], 1); }

  void forward(const lh_call& call) const {
    visit_float(call.in[0]->dtype, [&]<class T>() {
      run<Form::rms>(call, operands<T>(*call.in[0], *call.out[0], *call.in[1], epsilon_));
    });
  }

  void backward(const lh_call& call) const { run_backward<Form::rms>(call, epsilon_, blocks_); }

 private:
  float epsilon_;
  BackwardBlocks blocks_;
};

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, RmsNorm, layerhub::layers::RMSNorm, "gpu");

}  // namespace
