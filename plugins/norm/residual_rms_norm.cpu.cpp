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
      : weight_(args.param("weight")), epsilon_(canonical(static_cast<float>(args.real("variance_epsilon")))) {}

  void update_params(const CreateArgs& args) { *this = ResidualRmsNorm(args); }

  void forward(const lh_call& call) const {
    const DLTensor &x = *call.in[0], &residual = *call.in[1], &y = *call.out[0], &kept = *call.out[1];
    visit_float(x.dtype, [&]<class T>() {
      const auto total_of = [&](std::int64_t index) {
        return [from = row<const T>(x, index), more = row<const T>(residual, index)](std::int64_t i, auto extent) {
          return load(from + i, extent) + load(more + i, extent);
        };
      };
      for_each_row<T>(
          call.host, x, &y,
          [&](std::int64_t index, std::int64_t width) {
            const float squares = sum_row(width, [total = total_of(index)](std::int64_t i, auto extent) {
              const Floats v = total(i, extent);
              return v * v;
            });
            return scale_of(squares, width, epsilon_);
          },
          [&](std::int64_t index, float scale, std::int64_t width, bool is_streamed) {
            T* const to = row<T>(y, index);
            const auto scaled = [total = total_of(index), scale, new_residual = row<T>(kept, index),
                                 weight = weight_.view(first_register(to, is_streamed))](std::int64_t i, auto extent) {
              const auto v = total(i, extent);
              store(new_residual + i, v, extent);
              return v * weight.load(i, extent) * scale;
            };
            write(to, width, is_streamed, ByPairs{scaled},
                  prefetched(row<const T>(x, index), row<const T>(residual, index)));
          });
    });
  }

 private:
  ColumnWeights weight_;
  float epsilon_;
};

LAYERHUB_KERNEL(ResidualRmsNorm, layerhub::layers::ResidualRMSNorm, "vector");

}  // namespace
