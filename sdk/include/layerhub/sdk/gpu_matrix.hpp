// SPDX-License-Identifier: Apache-2.0
// The matrix units of a device: products of 16 x 16 tiles of a 16-bit float dtype, summed in float.
//
// CUDA's are reached through its wmma functions, which every device of sm_80 and newer has. HIP's differ from one
// family to the next: LAYERHUB_GPU_MATRIX_UNITS is 0 there, and a kernel multiplies in float. All threads of a warp
// take part in each function; pointers are aligned to 32 bytes, and pitches count elements and are multiples of 16
// bytes.
#pragma once

#include <layerhub/sdk/gpu.hpp>

#if defined(__HIP_PLATFORM_AMD__)
#define LAYERHUB_GPU_MATRIX_UNITS 0
#else
#define LAYERHUB_GPU_MATRIX_UNITS 1
#include <mma.h>

namespace layerhub::sdk::gpu {

namespace detail {
template <class T>
struct MatrixElement;
template <>
struct MatrixElement<float16> {
  using Type = __half;
};
template <>
struct MatrixElement<bfloat16> {
  using Type = __nv_bfloat16;
};
}  // namespace detail

template <class T>
using MatrixElement = typename detail::MatrixElement<T>::Type;

// a: its rows lie behind each other. b: its columns do, so that it is given as the rows of its transpose; or its rows.
template <class T>
using MatrixA = nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16, MatrixElement<T>, nvcuda::wmma::row_major>;
template <class T>
using MatrixB = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, MatrixElement<T>, nvcuda::wmma::col_major>;
template <class T>
using MatrixBByRows =
    nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, MatrixElement<T>, nvcuda::wmma::row_major>;
using MatrixSum = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float>;

template <class Matrix, class T>
__device__ inline void load_matrix(Matrix& matrix, const T* from, int pitch) {
  nvcuda::wmma::load_matrix_sync(matrix, reinterpret_cast<const MatrixElement<T>*>(from), static_cast<unsigned>(pitch));
}
__device__ inline void set_matrix(MatrixSum& sum, float value) { nvcuda::wmma::fill_fragment(sum, value); }
// sum += a b
template <class T, class B>
__device__ inline void multiply_matrices(MatrixSum& sum, const MatrixA<T>& a, const B& b) {
  nvcuda::wmma::mma_sync(sum, a, b, sum);
}
__device__ inline void store_matrix(float* to, const MatrixSum& sum, int pitch) {
  nvcuda::wmma::store_matrix_sync(to, sum, static_cast<unsigned>(pitch), nvcuda::wmma::mem_row_major);
}

}  // namespace layerhub::sdk::gpu
#endif
