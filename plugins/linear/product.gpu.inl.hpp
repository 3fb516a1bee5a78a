// SPDX-License-Identifier: Apache-2.0
// Which of the two products a call of Linear takes: the weight is read once for few rows, and from shared memory for
// many.
#pragma once

#include "matrix_matrix.gpu.inl.hpp"
#include "matrix_vector.gpu.inl.hpp"

#include <layerhub/sdk/layer.hpp>

namespace layerhub::linear {

// Sums of K products in float: the error grows with the root of K.
inline constexpr std::array product_tolerances{Tolerance{f32, 1e-4, 1e-3, 1e-10}, Tolerance{bf16, 1e-2, 2e-1, 1e-4},
                                               Tolerance{f16, 2e-3, 5e-2, 1e-6}};

constexpr std::int64_t most_rows_of_vectors = 8;
constexpr int shared_rows = 4;  // of the input, for which a matrix-vector product reads the weight once

template <class Weight>
void multiply(const lh_call& call, const Weight& weight, int outputs, const DLTensor& x, const DLTensor* bias,
              const DLTensor& y) {
  const Sizes sizes{row_count(x), outputs, static_cast<int>(last_dim(x))};
  const float* biases = bias == nullptr ? nullptr : data<const float>(*bias);
  const gpu::FloatRows from = gpu::float_rows_of(x), to = gpu::float_rows_of(y);
  if (sizes.rows == 1) {
    matrix_vector::run<Weight, 1>(call, weight, from, to, biases, sizes);
  } else if (sizes.rows <= most_rows_of_vectors) {
    matrix_vector::run<Weight, shared_rows>(call, weight, from, to, biases, sizes);
  } else {
    visit_float(x.dtype, [&]<class X>() {
      constexpr bool by_units = LAYERHUB_GPU_MATRIX_UNITS != 0 && Weight::template parts<X> != 0;
      using T = std::conditional_t<by_units, X, float>;
      matrix_matrix::run<Weight, T>(call, weight, from, to, biases, sizes);
    });
  }
}

}  // namespace layerhub::linear
