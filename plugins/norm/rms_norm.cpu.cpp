// SPDX-License-Identifier: Apache-2.0
// RMSNorm: a row is read twice, the second time from the nearest cache: once for the sum of squares, once to
// be scaled.
#include "norm.inl.hpp"

#include <layerhub/layers/norm.hpp>

namespace {

using namespace layerhub::norm;

class RmsNorm {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_OWNS_PARAMS;
  static constexpr std::array constraints{dtype_in("hidden_states", f32, bf16, f16),
                                          dtype_in("weight", f32, bf16, f16),
                                          last_dim_dense("hidden_states"),
                                          last_dim_dense("output"),
                                          strided_ok("weight"),
                                          may_alias("output", "hidden_states")};

  explicit RmsNorm(const CreateArgs& args)
      : weight_(copy_param(args.param("weight"))), epsilon_(static_cast<float>(args.real("variance_epsilon"))) {}

  void update_params(const CreateArgs& args) { *this = RmsNorm(args); }

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
    const float squares = sum_row(width, [&](std::int64_t i, auto extent) {
      const Floats v = load(x + i, extent);
      return v * v;
    });
    const float scale = 1.f / std::sqrt(squares / static_cast<float>(width) + epsilon_);
    const float* weight = weight_.data();
    write(y, width, is_streamed,
          [&](std::int64_t i, auto extent) { return load(x + i, extent) * scale * load(weight + i, extent); });
  }

  std::vector<float> weight_;
  float epsilon_;
};

LAYERHUB_KERNEL(RmsNorm, layerhub::layers::RMSNorm, "vector");

}  // namespace
