// SPDX-License-Identifier: Apache-2.0
// LayerNorm: mean first, then the deviations from it, then the result. The one-pass form (mean of squares
// less square of mean) would lose all digits where the mean is large; the row is in the nearest cache anyway.
#include "norm.inl.hpp"

#include <layerhub/layers/norm.hpp>

namespace {

using namespace layerhub::norm;

class LayerNorm {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_OWNS_PARAMS;
  static constexpr std::array constraints{dtype_in("hidden_states", f32, bf16, f16),
                                          dtype_in("weight", f32, bf16, f16),
                                          last_dim_dense("hidden_states"),
                                          last_dim_dense("output"),
                                          strided_ok("weight"),
                                          strided_ok("bias"),
                                          may_alias("output", "hidden_states")};
  // Where a row is nearly constant, the rounding of its mean is magnified by up to 1 / sqrt(variance_epsilon).
  static constexpr std::array tolerances{Tolerance{f32, 1e-5, 4e-5}, Tolerance{bf16, 8e-3, 1e-3},
                                         Tolerance{f16, 1e-3, 1e-4}};

  explicit LayerNorm(const CreateArgs& args)
      : weight_(copy_param(args.param("weight"))),
        bias_(copy_param(args.param("bias"))),
        epsilon_(static_cast<float>(args.real("variance_epsilon"))) {
    bias_.resize(weight_.size());  // an absent bias is 0
  }

  void update_params(const CreateArgs& args) { *this = LayerNorm(args); }

  void forward(const lh_call& call) const {
    visit_float(call.in[0]->dtype, [&]<class T>() {
      for_each_row<T>(call, *call.in[0], *call.out[0], [this](const T* x, T* y, std::int64_t width, bool is_streamed) {
        run(x, y, width, is_streamed);
      });
    });
  }

 private:
  template <class T>
  void run(const T* x, T* y, std::int64_t width, bool is_streamed) const {
    const float count = static_cast<float>(width);
    const float mean = sum_row(width, [&](std::int64_t i, auto extent) { return load(x + i, extent); }) / count;
    const float squares = sum_row(width, [&](std::int64_t i, auto extent) {
      const Floats v = load(x + i, extent) - mean_of(mean, extent);
      return v * v;
    });
    const float scale = 1.f / std::sqrt(squares / count + epsilon_);
    const float* weight = weight_.data();
    const float* bias = bias_.data();
    write(y, width, is_streamed, [&](std::int64_t i, auto extent) {
      return (load(x + i, extent) - mean) * scale * load(weight + i, extent) + load(bias + i, extent);
    });
  }

  // The mean in the lanes that there are, 0 beyond: what is no element must not add its deviation.
  static Floats mean_of(float mean, Whole) { return broadcast(mean); }
  static Floats mean_of(float mean, Part part) { return first_lanes(broadcast(mean), part); }

  std::vector<float> weight_;
  std::vector<float> bias_;
  float epsilon_;
};

LAYERHUB_KERNEL(LayerNorm, layerhub::layers::LayerNorm, "vector");

}  // namespace
