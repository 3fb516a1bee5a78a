// SPDX-License-Identifier: Apache-2.0
// Linear with float weights on CUDA and HIP. The weight is read where the host keeps it; rows that do not begin at
// multiples of 16 bytes are read element by element.
#include "product.gpu.inl.hpp"

#include <layerhub/layers/linear.hpp>
#include <layerhub/sdk/gpu.hpp>

namespace {

using namespace layerhub::sdk;

class LinearFloat {
 public:
  static constexpr std::uint32_t traits =
      LH_TRAIT_CAPTURE_SAFE | LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{
      dtype_in("input", f32, bf16, f16), dtype_in("weight", f32, f16, bf16), dtype_in("bias", f32),
      last_dim_dense("input"),           last_dim_dense("output"),           last_dim_dense("weight")};
  static constexpr std::array tolerances = layerhub::linear::product_tolerances;

  explicit LinearFloat(const CreateArgs& args) {
    if (!args.param_format("weight").empty()) {
      throw Failure(LH_DECLINED, "the weight is no plain float matrix");
    }
  }

  static void forward(const lh_call& call) {
    const DLTensor& weight = *call.in[1];
    visit_float(weight.dtype, [&]<class T>() {
      layerhub::linear::multiply(call, layerhub::linear::FloatWeight<T>(weight), static_cast<int>(weight.shape[0]),
                                 *call.in[0], call.in[2], *call.out[0]);
    });
  }
};

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, LinearFloat, layerhub::layers::Linear, "float");

}  // namespace
