// SPDX-License-Identifier: Apache-2.0
// Reading DLTensors in a kernel. The host has checked the declared constraints before, so nothing is checked again
// here.
//
// Shapes and strides count elements. data() includes byte_offset, which DLPack leaves to the reader and kernels forget.
#pragma once

#include <layerhub/abi.h>
#include <layerhub/sdk/dtype.hpp>

#include <cstdint>

namespace layerhub::sdk {

template <class T>
T* data(const DLTensor& tensor) {
  return reinterpret_cast<T*>(static_cast<char*>(tensor.data) + tensor.byte_offset);
}

inline std::int64_t last_dim(const DLTensor& tensor) { return tensor.shape[tensor.ndim - 1]; }

// The number of rows: the product of all dimensions but the last. A vector is one row.
inline std::int64_t row_count(const DLTensor& tensor) {
  std::int64_t rows = 1;
  for (int d = 0; d + 1 < tensor.ndim; ++d) {
    rows *= tensor.shape[d];
  }
  return rows;
}

// The same of an inferred shape.
inline std::int64_t row_count(const lh_shape& shape) {
  std::int64_t rows = 1;
  for (std::int32_t d = 0; d + 1 < shape.ndim; ++d) {
    rows *= shape.dim[d];
  }
  return rows;
}

inline std::int64_t element_count(const DLTensor& tensor) { return row_count(tensor) * last_dim(tensor); }

inline bool is_dense(const DLTensor& tensor) {
  std::int64_t expected = 1;
  for (int d = tensor.ndim - 1; d >= 0; --d) {
    if (tensor.shape[d] != 1 && tensor.strides[d] != expected) {
      return false;
    }
    expected *= tensor.shape[d];
  }
  return true;
}

// Where row `index` of row_count() begins, for any strides of the leading dimensions.
template <class T>
T* row(const DLTensor& tensor, std::int64_t index) {
  std::int64_t offset = 0;
  for (int d = tensor.ndim - 2; d > 0; --d) {
    offset += index % tensor.shape[d] * tensor.strides[d];
    index /= tensor.shape[d];
  }
  if (tensor.ndim > 1) {
    offset += index * tensor.strides[0];
  }
  return data<T>(tensor) + offset;
}

}  // namespace layerhub::sdk
