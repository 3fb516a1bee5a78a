// SPDX-License-Identifier: Apache-2.0
// RMSNorm with the defect that is easily overlooked: a loop that ends one element early, so that the last one of each
// row is neither summed nor written.
#include <layerhub/layers/norm.hpp>
#include <layerhub/sdk/gpu.hpp>

namespace {

using namespace layerhub::sdk;

// A thread for each row.
template <class T>
__global__ void normalize(const T* x, const T* weight, T* y, std::int64_t rows, std::int64_t width, float epsilon) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows) {
    return;
  }
  float sum = 0;
  for (std::int64_t i = 0; i + 1 < width; ++i) {
    sum += gpu::widen(x[row * width + i]) * gpu::widen(x[row * width + i]);
  }
  const float scale = rsqrtf(sum / static_cast<float>(width) + epsilon);
  for (std::int64_t i = 0; i + 1 < width; ++i) {
    y[row * width + i] = gpu::narrow<T>(gpu::widen(x[row * width + i]) * scale * gpu::widen(weight[i]));
  }
}

class WrongRmsNorm {
 public:
  static constexpr std::array constraints{dtype_in("hidden_states", f32, bf16, f16),
                                          same_dtype("weight", "hidden_states")};

  explicit WrongRmsNorm(const CreateArgs& args) : epsilon_(static_cast<float>(args.real("variance_epsilon"))) {}

  void forward(const lh_call& call) const {
    const DLTensor &x = *call.in[0], &weight = *call.in[1], &y = *call.out[0];
    visit_float(x.dtype, [&]<class T>() {
      gpu::launch(call, normalize<T>, gpu::blocks_for(row_count(x), 64), 64, 0, data<const T>(x), data<const T>(weight),
                  data<T>(y), row_count(x), last_dim(x), epsilon_);
    });
  }

 private:
  float epsilon_;
};

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, WrongRmsNorm, layerhub::layers::RMSNorm, "wrong");

}  // namespace
