// SPDX-License-Identifier: Apache-2.0
// LayerNorm with a fault that takes the device away: an index outside of an array of shared memory.
#include <layerhub/layers/norm.hpp>
#include <layerhub/sdk/gpu.hpp>

namespace {

using namespace layerhub::sdk;

__global__ void write_behind(std::int64_t rows, float* y) {
  __shared__ float sums[8];
  sums[threadIdx.x] = static_cast<float>(rows);
  __syncthreads();
  y[threadIdx.x] = sums[0];
}

class FaultingLayerNorm {
 public:
  static constexpr std::array constraints{dtype_in("hidden_states", f32), same_dtype("weight", "hidden_states")};

  explicit FaultingLayerNorm(const CreateArgs&) {}

  void forward(const lh_call& call) const {
    gpu::launch(call, write_behind, 1, 9, 0, row_count(*call.in[0]), data<float>(*call.out[0]));
  }
};

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, FaultingLayerNorm, layerhub::layers::LayerNorm, "faulting");

}  // namespace
