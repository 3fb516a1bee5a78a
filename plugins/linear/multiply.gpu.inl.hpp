// SPDX-License-Identifier: Apache-2.0
// Which kernels the products of a layer take: few rows of the input read each weight once, many go through tiles.
#pragma once

#include "matrix_matrix.gpu.inl.hpp"
#include "matrix_vector.gpu.inl.hpp"

#include <layerhub/sdk/layer.hpp>

#include <tuple>

namespace layerhub::linear {

// Sums of K products in float: the error grows with the root of K.
inline constexpr std::array product_tolerances{Tolerance{f32, 1e-4, 1e-3, 1e-10}, Tolerance{bf16, 1e-2, 2e-1, 1e-4},
                                               Tolerance{f16, 2e-3, 5e-2, 1e-6}};

constexpr std::int64_t most_rows_of_vectors = 8;
constexpr int shared_rows = 4;  // of the input, for which a matrix-vector product reads the weight once

template <class Weight>
void multiply(const lh_call& call, const matrix_vector::Batch<Weight>& batch, const Input& input) {
  if (input.rows == 1) {
    matrix_vector::run<1>(call, batch, input);
  } else if (input.rows <= most_rows_of_vectors) {
    matrix_vector::run<shared_rows>(call, batch, input);
  } else {
    for (int i = 0; i < batch.count; ++i) {
      gpu::visit_float_type(input.x.type, [&]<class X>() {
        constexpr bool by_units = LAYERHUB_GPU_MATRIX_UNITS != 0 && Weight::template parts<X> != 0;
        matrix_matrix::run<std::conditional_t<by_units, X, float>>(call, batch.products[i], input);
      });
    }
  }
}

// The products of a layer by the kinds of their weights: those of one kind are computed together.
template <class... Weights>
class Batches {
 public:
  template <class Weight>
  void add(const Product<Weight>& product) {
    matrix_vector::Batch<Weight>& batch = std::get<matrix_vector::Batch<Weight>>(batches_);
    if (product.outputs != 0) {
      batch.products[batch.count++] = product;
    }
  }
  void run(const lh_call& call, const Input& input) const {
    (run_one(call, std::get<matrix_vector::Batch<Weights>>(batches_), input), ...);
  }

 private:
  template <class Weight>
  static void run_one(const lh_call& call, const matrix_vector::Batch<Weight>& batch, const Input& input) {
    if (batch.count != 0) {
      multiply(call, batch, input);
    }
  }
  std::tuple<matrix_vector::Batch<Weights>...> batches_;
};

}  // namespace layerhub::linear
