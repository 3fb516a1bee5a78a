// SPDX-License-Identifier: Apache-2.0
// What the products on CUDA and HIP compute: y = x weight^T + bias, with x for all products of a layer.
#pragma once

#include "weight.gpu.inl.hpp"

namespace layerhub::linear {

struct Input {
  gpu::FloatRows x;
  std::int64_t rows;
  int columns;
};

inline Input input_of(const DLTensor& x) {
  return {gpu::float_rows_of(x), row_count(x), static_cast<int>(last_dim(x))};
}

template <class Weight>
struct Product {
  Weight weight;
  int outputs = 0;              // rows of the weight
  const float* bias = nullptr;  // NULL for none
  gpu::FloatRows y;
};

constexpr int max_products = 3;  // that a layer has of one input

__device__ inline float gated(float gate, float up) { return gate / (1 + expf(-gate)) * up; }

}  // namespace layerhub::linear
