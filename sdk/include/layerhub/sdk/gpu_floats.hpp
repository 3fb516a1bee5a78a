// SPDX-License-Identifier: Apache-2.0
// Float tensors whose dtype a kernel learns when it runs, eight elements at a time.
//
// A kernel that is bound by one large tensor is compiled for that tensor's dtype alone. Its other tensors are a small
// part of what it moves: they come as FloatRows, and a switch that all threads of a block take the same way costs less
// than three times as many kernels in the library. Eight elements are one 128-bit access of a 16-bit dtype, two of
// float, wherever they are aligned and whole; otherwise they are read one by one, with zeros behind the row's end.
#pragma once

#include <layerhub/sdk/gpu.hpp>

#include <algorithm>
#include <array>

namespace layerhub::sdk::gpu {

template <class T>
struct Eight {
  Pack<T> packs[8 / vector_width<T>];
  __device__ T& operator[](int i) { return packs[i / vector_width<T>][i % vector_width<T>]; }
  __device__ const T& operator[](int i) const { return packs[i / vector_width<T>][i % vector_width<T>]; }
};

// The elements from[0, count), of which there may be more than eight, or none. is_aligned: to 16 bytes.
template <class T>
__device__ inline Eight<T> load_eight(const T* from, int count, bool is_aligned) {
  Eight<T> eight;
  if (is_aligned && count >= 8) {
#pragma unroll
    for (int i = 0; i < 8; i += vector_width<T>) {
      eight.packs[i / vector_width<T>] = load_pack(from + i);
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      eight[i] = i < count ? from[i] : T{};
    }
  }
  return eight;
}

// The first `count` of them to to[0, count).
template <class T>
__device__ inline void store_eight(T* to, const Eight<T>& eight, int count, bool is_aligned) {
  if (is_aligned && count >= 8) {
#pragma unroll
    for (int i = 0; i < 8; i += vector_width<T>) {
      store_pack(to + i, eight.packs[i / vector_width<T>]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i < count) {
        to[i] = eight[i];
      }
    }
  }
}

template <class T>
__device__ inline void widen(const Eight<T>& eight, float (&to)[8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    to[i] = widen(eight[i]);
  }
}

enum class FloatType : int { f32, f16, bf16 };

// Of a dtype that visit_float knows.
inline FloatType float_type(DLDataType dtype) {
  return dtype.code == kDLBfloat ? FloatType::bf16 : dtype.bits == 16 ? FloatType::f16 : FloatType::f32;
}

template <class Visit>
void visit_float_type(FloatType type, Visit&& visit) {
  switch (type) {
    case FloatType::f32: visit.template operator()<float>(); break;
    case FloatType::f16: visit.template operator()<float16>(); break;
    case FloatType::bf16: visit.template operator()<bfloat16>(); break;
  }
}

// As they were loaded, so that a kernel can have loads under way and convert later.
union AnyEight {
  Eight<float> f32;
  Eight<float16> f16;
  Eight<bfloat16> bf16;
};

// The rows of a tensor as Rows has them, in bytes.
struct FloatRows {
  Rows<char> rows;
  FloatType type = FloatType::f32;
  bool is_aligned = false;  // every row begins at a multiple of 16 bytes

  // The elements [column, columns) of a row, eight of them at most; column is a multiple of eight.
  __device__ AnyEight load(std::int64_t row, int column, int columns) const {
    const char* from = rows.at(row);
    AnyEight eight;
    switch (type) {
      case FloatType::f32:
        eight.f32 = load_eight(reinterpret_cast<const float*>(from) + column, columns - column, is_aligned);
        break;
      case FloatType::f16:
        eight.f16 = load_eight(reinterpret_cast<const float16*>(from) + column, columns - column, is_aligned);
        break;
      case FloatType::bf16:
        eight.bf16 = load_eight(reinterpret_cast<const bfloat16*>(from) + column, columns - column, is_aligned);
        break;
    }
    return eight;
  }
  __device__ void widen(const AnyEight& eight, float (&to)[8]) const {
    switch (type) {
      case FloatType::f32: gpu::widen(eight.f32, to); break;
      case FloatType::f16: gpu::widen(eight.f16, to); break;
      case FloatType::bf16: gpu::widen(eight.bf16, to); break;
    }
  }
  __device__ float at(std::int64_t row, int column) const {
    const char* from = rows.at(row);
    switch (type) {
      case FloatType::f16: return gpu::widen(reinterpret_cast<const float16*>(from)[column]);
      case FloatType::bf16: return gpu::widen(reinterpret_cast<const bfloat16*>(from)[column]);
      default: return reinterpret_cast<const float*>(from)[column];
    }
  }
  __device__ void store(std::int64_t row, int column, float value) const {
    char* to = rows.at(row);
    switch (type) {
      case FloatType::f32: reinterpret_cast<float*>(to)[column] = value; break;
      case FloatType::f16: reinterpret_cast<float16*>(to)[column] = narrow<float16>(value); break;
      case FloatType::bf16: reinterpret_cast<bfloat16*>(to)[column] = narrow<bfloat16>(value); break;
    }
  }
};

inline FloatRows float_rows_of(const DLTensor& tensor) {
  std::array<std::int64_t, LH_MAX_RANK> strides{};
  for (int d = 0; d < tensor.ndim; ++d) {
    strides[static_cast<std::size_t>(d)] = tensor.strides[d] * (tensor.dtype.bits / 8);
  }
  DLTensor bytes = tensor;
  bytes.strides = strides.data();
  FloatRows found;
  found.rows = rows_of<char>(bytes);
  found.type = float_type(tensor.dtype);
  found.is_aligned = found.rows.takes_packs(0);
  return found;
}

// Rows that lie behind each other, for example in a call's workspace.
inline FloatRows dense_float_rows(void* memory, DLDataType dtype, std::int64_t rows, std::int64_t width) {
  std::int64_t shape[] = {rows, width}, strides[] = {width, 1};
  return float_rows_of(DLTensor{memory, {}, 2, dtype, shape, strides, 0});
}

}  // namespace layerhub::sdk::gpu
