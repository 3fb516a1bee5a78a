// SPDX-License-Identifier: Apache-2.0
// RMSNorm: a row is read twice, the second time from the nearest cache: once for the sum of squares, once to
// be scaled.
//
// Backward, with s = 1 / rms of the row and d its width:
//   grad_x = s (w grad_y - x s^2 / d sum(x w grad_y)), row by row; s of each row is kept in the workspace
//   grad_w = sum over the rows of x s grad_y, column by column
#pragma once

#include "norm.inl.hpp"

#include <layerhub/layers/norm.hpp>

namespace {

using namespace layerhub::norm;

class RmsNorm {
 public:
  static constexpr std::uint32_t traits = norm_traits;
  static constexpr auto constraints = norm_constraints(may_alias("output", "hidden_states"));

  explicit RmsNorm(const CreateArgs& args)
      : weight_(args.param("weight")), epsilon_(canonical(static_cast<float>(args.real("variance_epsilon")))) {}

  void update_params(const CreateArgs& args) { *this = RmsNorm(args); }

  static void infer(InferCall& call) {
    call.backward_workspace = static_cast<std::size_t>(row_count(call.in[0])) * sizeof(float);
  }

  void forward(const lh_call& call) const {
    const DLTensor &x = *call.in[0], &y = *call.out[0];
    visit_float(x.dtype, [&]<class T>() {
      for_each_row<T>(
          call.host, x, &y,
          [&](std::int64_t index, std::int64_t width) { return scale_of_row(row<const T>(x, index), width); },
          [&](std::int64_t index, float scale, std::int64_t width, bool is_streamed) {
            run(row<const T>(x, index), row<T>(y, index), scale, width, is_streamed);
          });
    });
  }

  void backward(const lh_call& call) const {
    const DLTensor& x = *call.in[0];
    const DLTensor& grad_y = *call.grad_out[0];
    auto* scales = static_cast<float*>(call.workspace);
    visit_float(x.dtype, [&]<class T>() {
      write_input_gradient<T>(
          call, scales, [&](const T* from, std::int64_t width) { return scale_of_row(from, width); },
          [&](auto... of_row) { run_backward(of_row...); });
      write_param_gradient(call.host, call.grad_in[1], row_count(x),
                           [&](std::int64_t index, std::int64_t column, auto extent) {
                             return load(row<const T>(x, index) + column, extent) * scales[index] *
                                    load(row<const T>(grad_y, index) + column, extent);
                           });
    });
  }

 private:
  template <class T>
  float scale_of_row(const T* x, std::int64_t width) const {
    return scale_of(sum_of_squares(x, width), width, epsilon_);
  }

  template <class T>
  void run(const T* x, T* y, float scale, std::int64_t width, bool is_streamed) const {
    // What does not wait for the scale comes first.
    const auto weight = weight_.view(first_register(y, is_streamed));
    const auto scaled = [x, scale, weight](std::int64_t i, auto extent) {
      return load(x + i, extent) * weight.load(i, extent) * scale;
    };
    write(y, width, is_streamed, ByPairs{scaled}, prefetched(x));
  }

  template <class T>
  void run_backward(const T* x, const T* grad_y, T* grad_x, float scale, std::int64_t width, bool is_streamed) const {
    const auto weight = weight_.view(0);
    const float product = sum_row(width, [&](std::int64_t i, auto extent) {
      return load(x + i, extent) * weight.load(i, extent) * load(grad_y + i, extent);
    });
    const float along_x = product / static_cast<float>(width) * scale * scale;
    write(
        grad_x, width, is_streamed,
        [=](std::int64_t i, auto extent) {
          return (weight.load(i, extent) * load(grad_y + i, extent) - load(x + i, extent) * along_x) * scale;
        },
        prefetched(x, grad_y));
  }

  ColumnWeights weight_;
  float epsilon_;
};

LAYERHUB_KERNEL(RmsNorm, layerhub::layers::RMSNorm, "vector");

}  // namespace
