// SPDX-License-Identifier: Apache-2.0
// ResidualRMSNorm: x + residual is computed twice, once for the sum of its squares and once to be scaled and kept. That
// costs two loads from the nearest cache, and gives 16-bit dtypes a norm of the sum before it is rounded.
//
// The kept sum is never stored past the cache: its lines are most often the residual's own, which the first pass has
// just brought there.
#include "norm.inl.hpp"

#include <layerhub/layers/norm.hpp>

namespace {

using namespace layerhub::norm;

class ResidualRmsNorm {
 public:
  static constexpr std::uint32_t traits = norm_traits;
  static constexpr auto constraints = norm_constraints(last_dim_dense("residual"), last_dim_dense("new_residual"));

  explicit ResidualRmsNorm(const CreateArgs& args)
      : weight_(copy_param(args.param("weight"))), epsilon_(static_cast<float>(args.real("variance_epsilon"))) {}

  void update_params(const CreateArgs& args) { *this = ResidualRmsNorm(args); }

  void forward(const lh_call& call) const {
    const DLTensor &x = *call.in[0], &residual = *call.in[1], &y = *call.out[0], &kept = *call.out[1];
    visit_float(x.dtype, [&]<class T>() {
      for_each_row<T>(call.host, x, &y, [&](std::int64_t index, std::int64_t width, bool is_streamed) {
        run(row<const T>(x, index), row<const T>(residual, index), row<T>(y, index), row<T>(kept, index), width,
            is_streamed);
      });
    });
  }

 private:
  template <class T>
  void run(const T* x, const T* residual, T* y, T* kept, std::int64_t width, bool is_streamed) const {
    const auto total = [&](std::int64_t i, auto extent) { return load(x + i, extent) + load(residual + i, extent); };
    const float squares = sum_row(width, [&](std::int64_t i, auto extent) {
      const Floats v = total(i, extent);
      return v * v;
    });
    const float scale = scale_of(squares, width, epsilon_);
    const float* weight = weight_.data();
    write(y, width, is_streamed, [&](std::int64_t i, auto extent) {
      const Floats v = total(i, extent);
      store(kept + i, v, extent);
      return v * load(weight + i, extent) * scale;
    });
  }

  std::vector<float> weight_;
  float epsilon_;
};

LAYERHUB_KERNEL(ResidualRmsNorm, layerhub::layers::ResidualRMSNorm, "vector");

}  // namespace
