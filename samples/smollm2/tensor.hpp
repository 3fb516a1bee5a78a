// SPDX-License-Identifier: Apache-2.0
// The host's own tensor: a view, dense or of strided rows, in one of a few dtypes. Who makes one owns the memory.
#pragma once

#include <dlpack/dlpack.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace smollm2 {

enum class Dtype : std::uint8_t { f32, f16, u8 };
constexpr std::int64_t bytes_of(Dtype dtype) { return dtype == Dtype::f32 ? 4 : dtype == Dtype::f16 ? 2 : 1; }

struct Tensor {
  void* data = nullptr;
  Dtype dtype = Dtype::f32;
  std::int32_t rank = 0;
  std::array<std::int64_t, 3> shape{}, strides{};  // in elements
  DLDevice device{kDLCPU, 0};
  std::uint64_t byte_offset = 0;  // of the first element: data need not be an address

  // The elements, for code of this program, which runs on the cpu. Throws std::logic_error on another device.
  template <class T>
  T* elements() const {
    if (device.device_type != kDLCPU) {
      throw std::logic_error("a layer's own forward runs on the cpu, and was called with a tensor on another device");
    }
    return reinterpret_cast<T*>(static_cast<char*>(data) + byte_offset);
  }
  float* row(std::int64_t index) const { return elements<float>() + index * strides[0]; }  // of an f32 matrix
  std::int64_t element_count() const {
    std::int64_t count = 1;
    for (std::int32_t d = 0; d < rank; ++d) {
      count *= shape[static_cast<std::size_t>(d)];
    }
    return count;
  }
  std::int64_t rows() const { return shape[0]; }
  std::int64_t width() const { return shape[static_cast<std::size_t>(rank) - 1]; }

  // Rows [first, first + count) of a matrix.
  Tensor rows_from(std::int64_t first, std::int64_t count) const {
    Tensor view = *this;
    view.byte_offset += static_cast<std::uint64_t>(first * strides[0] * bytes_of(dtype));
    view.shape[0] = count;
    return view;
  }
  // Columns [first, first + count) of a matrix: a view of the same rows.
  Tensor columns(std::int64_t first, std::int64_t count) const {
    Tensor view = *this;
    view.byte_offset += static_cast<std::uint64_t>(first * bytes_of(dtype));
    view.shape[1] = count;
    return view;
  }
  // A matrix [rows, heads * size] seen as [rows, heads, size].
  Tensor heads(std::int64_t count) const {
    const std::int64_t size = shape[1] / count;
    return {data, dtype, 3, {shape[0], count, size}, {strides[0], size, 1}, device, byte_offset};
  }
};

inline Tensor matrix(void* data, std::int64_t rows, std::int64_t columns, Dtype dtype = Dtype::f32) {
  return {data, dtype, 2, {rows, columns, 0}, {columns, 1, 0}, {kDLCPU, 0}, 0};
}
inline Tensor vector(void* data, std::int64_t size) {
  return {data, Dtype::f32, 1, {size, 0, 0}, {1, 0, 0}, {kDLCPU, 0}, 0};
}

// What layerhub asks of a host's tensor: the same memory as DLPack describes it.
inline DLTensor as_dltensor(const Tensor& t) {
  constexpr DLDataType dtypes[] = {{kDLFloat, 32, 1}, {kDLFloat, 16, 1}, {kDLUInt, 8, 1}};
  return {t.data,
          t.device,
          t.rank,
          dtypes[static_cast<std::size_t>(t.dtype)],
          const_cast<std::int64_t*>(t.shape.data()),
          const_cast<std::int64_t*>(t.strides.data()),
          t.byte_offset};
}

}  // namespace smollm2
