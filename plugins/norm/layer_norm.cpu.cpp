// SPDX-License-Identifier: Apache-2.0
// LayerNorm: mean first, then the deviations from it, then the result. The one-pass form (mean of squares
// less square of mean) would lose all digits where the mean is large; the row is in the nearest cache anyway.
//
// Backward, with z = (x - mean) s, s = rsqrt(var + epsilon) and means over the row:
//   grad_x = s (w grad_y - mean(w grad_y) - z mean(z w grad_y)), row by row; mean and s stay in the workspace
//   grad_w = sum over the rows of z grad_y, grad_b = sum over the rows of grad_y, column by column
#include "norm.inl.hpp"

#include <layerhub/layers/norm.hpp>

namespace {

using namespace layerhub::norm;

class LayerNorm {
 public:
  static constexpr std::uint32_t traits = norm_traits;
  static constexpr auto constraints = norm_constraints(strided_ok("bias"), may_alias("output", "hidden_states"));
  // Where a row is nearly constant, the rounding of a sum is magnified by up to 1 / sqrt(variance_epsilon).
  static constexpr std::array tolerances{Tolerance{f32, 1e-5, 4e-5}, Tolerance{bf16, 8e-3, 1e-3},
                                         Tolerance{f16, 1e-3, 1e-4}};

  explicit LayerNorm(const CreateArgs& args)
      : weight_(copy_param(args.param("weight"))),
        bias_(copy_param(args.param("bias"), weight_.size())),
        epsilon_(static_cast<float>(args.real("variance_epsilon"))) {}

  void update_params(const CreateArgs& args) { *this = LayerNorm(args); }

  static void infer(InferCall& call) {
    call.backward_workspace = static_cast<std::size_t>(row_count(call.in[0])) * sizeof(Moments);
  }

  void forward(const lh_call& call) const {
    const DLTensor &x = *call.in[0], &y = *call.out[0];
    visit_float(x.dtype, [&]<class T>() {
      for_each_row<T>(
          call.host, x, &y,
          [&](std::int64_t index, std::int64_t width) { return moments_of(row<const T>(x, index), width); },
          [&](std::int64_t index, Moments moments, std::int64_t width, bool is_streamed) {
            run(row<const T>(x, index), row<T>(y, index), moments, width, is_streamed);
          });
    });
  }

  void backward(const lh_call& call) const {
    const DLTensor& x = *call.in[0];
    const DLTensor& grad_y = *call.grad_out[0];
    auto* moments = static_cast<Moments*>(call.workspace);
    visit_float(x.dtype, [&]<class T>() {
      write_input_gradient<T>(
          call, moments, [&](const T* from, std::int64_t width) { return moments_of(from, width); },
          [&](auto... of_row) { run_backward(of_row...); });
      write_param_gradient(call.host, call.grad_in[1], row_count(x),
                           [&](std::int64_t index, std::int64_t column, auto extent) {
                             return moments[index].normalized(load(row<const T>(x, index) + column, extent)) *
                                    load(row<const T>(grad_y, index) + column, extent);
                           });
      write_param_gradient(call.host, call.grad_in[2], row_count(x),
                           [&](std::int64_t index, std::int64_t column, auto extent) {
                             return load(row<const T>(grad_y, index) + column, extent);
                           });
    });
  }

 private:
  // Of a row: its mean as rounded to float32, by how much the mean is more, and 1 / the deviation from it. The rounding
  // alone would be all that is left of a nearly constant row.
  struct Moments {
    float mean, shift, scale;

    Floats normalized(Floats x) const { return (x - mean - shift) * scale; }
  };

  // Sums of what is left of elements without their rounded mean, and of its squares.
  struct Deviations {
    Floats first, squares;

    friend Deviations operator+(Deviations a, Deviations b) { return {a.first + b.first, a.squares + b.squares}; }
  };

  template <class T>
  Moments moments_of(const T* x, std::int64_t width) const {
    const float count = static_cast<float>(width);
    const float mean = sum_row(width, [&](std::int64_t i, auto extent) { return load(x + i, extent); }) / count;
    const auto sums = sum_row_in_lanes<Deviations>(width, [&](std::int64_t i, auto extent) {
      const Floats v = load(x + i, extent) - mean_of(mean, extent);
      return Deviations{v, v * v};
    });
    const float shift = sum(sums.first) / count;
    const float variance = sum(sums.squares) / count - shift * shift;
    return {mean, shift, 1.f / std::sqrt((variance < 0 ? 0 : variance) + epsilon_)};
  }

  template <class T>
  void run(const T* x, T* y, Moments moments, std::int64_t width, bool is_streamed) const {
    const float* weight = weight_.data();
    const float* bias = bias_.data();
    write(
        y, width, is_streamed,
        [=](std::int64_t i, auto extent) {
          return moments.normalized(load(x + i, extent)) * load(weight + i, extent) + load(bias + i, extent);
        },
        prefetched(x));
  }

  template <class T>
  void run_backward(const T* x, const T* grad_y, T* grad_x, Moments moments, std::int64_t width,
                    bool is_streamed) const {
    const float count = static_cast<float>(width);
    const float* weight = weight_.data();
    const auto weighted = [=](std::int64_t i, auto extent) {
      return load(weight + i, extent) * load(grad_y + i, extent);  // 0 in lanes beyond a part, and so are its products
    };
    const float shift = sum_row(width, weighted) / count;
    const float along_z =
        sum_row(width, [&](std::int64_t i,
                           auto extent) { return moments.normalized(load(x + i, extent)) * weighted(i, extent); }) /
        count;
    write(
        grad_x, width, is_streamed,
        [=](std::int64_t i, auto extent) {
          return (weighted(i, extent) - shift - moments.normalized(load(x + i, extent)) * along_z) * moments.scale;
        },
        prefetched(x, grad_y));
  }

  // The mean in the lanes that there are, 0 beyond: what is no element must not add its deviation.
  static Floats mean_of(float mean, Whole) { return broadcast(mean); }
  static Floats mean_of(float mean, Part part) { return first_lanes(broadcast(mean), part); }

  AlignedFloats weight_, bias_;
  float epsilon_;
};

LAYERHUB_KERNEL(LayerNorm, layerhub::layers::LayerNorm, "vector");

}  // namespace
