// SPDX-License-Identifier: Apache-2.0
// The two products of prefill, of tiles in shared memory: query rows with keys, and their weights with values.
//
// E is what the tiles hold. Where the queries and the caches are of one 16-bit dtype it is that, and the matrix units
// multiply: 2 x 2 warps, each with 16 rows, and of the positions or columns two tiles of 16. Otherwise it is float, and
// each of 8 x 16 threads has four rows. Sums are float in both; weights are rounded to E, as their total has them.
#pragma once

#include "problem.gpu.inl.hpp"

#include <layerhub/sdk/gpu_matrix.hpp>

#include <type_traits>

namespace layerhub::attention::prefill {

constexpr int threads = 128;
constexpr int tile_rows = 32;
constexpr int slice_columns = 64;
constexpr int result_pitch = slice_columns + 4;
// Of a tile: with 16-bit elements twice as many take as much memory.
template <class E>
constexpr int tile_positions = std::is_same_v<E, float> ? 32 : 64;
// Rows of shared memory end with 16 bytes of padding, so that threads that read the same columns of different rows meet
// in no bank.
template <class E>
constexpr int slice_pitch = slice_columns + gpu::vector_width<E>;
template <class E>
constexpr int weight_pitch = tile_positions<E> + gpu::vector_width<E>;
template <class E>
constexpr int score_pitch = tile_positions<E> + 4;

__device__ inline int thread() { return static_cast<int>(threadIdx.x); }
// A thread has the rows own_row() + 8 i; of a slice of the sums the four columns from 4 * own_column() on.
__device__ inline int own_row() { return thread() / 16; }
__device__ inline int own_column() { return thread() % 16; }

// Of scores a thread has the positions own_column() + 16 j.
class FloatProducts {
 public:
  // A slice of the columns of all scores.
  __device__ void add_scores(const float* queries, int query_pitch, const float* slice) {
#pragma unroll 2
    for (int column = 0; column < slice_columns; column += 4) {
      gpu::Pack<float> q[4], k[2];
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        q[r] = gpu::load_pack(queries + (own_row() + 8 * r) * query_pitch + column);
      }
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        k[p] = gpu::load_pack(slice + (own_column() + 16 * p) * slice_pitch<float> + column);
      }
#pragma unroll
      for (int r = 0; r < 4; ++r) {
#pragma unroll
        for (int p = 0; p < 2; ++p) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            scores_[r][p] += q[r][i] * k[p][i];
          }
        }
      }
    }
  }
  __device__ void store_scores(float* scores) const {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        scores[(own_row() + 8 * r) * score_pitch<float> + own_column() + 16 * p] = scores_[r][p];
      }
    }
  }

  // sums += weights x slice
  __device__ static void add_values(const float* weights, const float* slice, float*, float (&sums)[4][4]) {
#pragma unroll 1
    for (int position = 0; position < tile_positions<float>; position += 4) {
      gpu::Pack<float> w[4], values[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        w[i] = gpu::load_pack(weights + (own_row() + 8 * i) * weight_pitch<float> + position);
        values[i] = gpu::load_pack(slice + (position + i) * slice_pitch<float> + own_column() * 4);
      }
#pragma unroll
      for (int r = 0; r < 4; ++r) {
#pragma unroll
        for (int p = 0; p < 4; ++p) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sums[r][i] += w[r][p] * values[p][i];
          }
        }
      }
    }
  }

 private:
  float scores_[4][2] = {};
};

#if LAYERHUB_GPU_MATRIX_UNITS
template <class E>
class MatrixProducts {
 public:
  __device__ MatrixProducts() {
    gpu::set_matrix(scores_[0], 0);
    gpu::set_matrix(scores_[1], 0);
  }
  __device__ void add_scores(const E* queries, int query_pitch, const E* slice) {
#pragma unroll
    for (int column = 0; column < slice_columns; column += 16) {
      gpu::MatrixA<E> q;
      gpu::load_matrix(q, queries + warp_row() * query_pitch + column, query_pitch);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        gpu::MatrixB<E> k;
        gpu::load_matrix(k, slice + (warp_column() + 16 * i) * slice_pitch<E> + column, slice_pitch<E>);
        gpu::multiply_matrices<E>(scores_[i], q, k);
      }
    }
  }
  __device__ void store_scores(float* scores) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      gpu::store_matrix(scores + warp_row() * score_pitch<E> + warp_column() + 16 * i, scores_[i], score_pitch<E>);
    }
  }

  // The units alone know which thread holds which result: through shared memory they get to those that have the sums.
  __device__ static void add_values(const E* weights, const E* slice, float* results, float (&sums)[4][4]) {
    gpu::MatrixSum products[2];
    gpu::set_matrix(products[0], 0);
    gpu::set_matrix(products[1], 0);
#pragma unroll
    for (int position = 0; position < tile_positions<E>; position += 16) {
      gpu::MatrixA<E> w;
      gpu::load_matrix(w, weights + warp_row() * weight_pitch<E> + position, weight_pitch<E>);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        gpu::MatrixBByRows<E> values;
        gpu::load_matrix(values, slice + position * slice_pitch<E> + warp_column() + 16 * i, slice_pitch<E>);
        gpu::multiply_matrices<E>(products[i], w, values);
      }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      gpu::store_matrix(results + warp_row() * result_pitch + warp_column() + 16 * i, products[i], result_pitch);
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const gpu::Pack<float> found = gpu::load_pack(results + (own_row() + 8 * r) * result_pitch + own_column() * 4);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[r][i] += found[i];
      }
    }
  }

 private:
  __device__ static int warp_row() { return thread() / gpu::warp_size / 2 * 16; }
  __device__ static int warp_column() { return thread() / gpu::warp_size % 2 * 32; }

  gpu::MatrixSum scores_[2];
};
#endif

template <class E>
struct ProductsOf {
#if LAYERHUB_GPU_MATRIX_UNITS
  using Type = MatrixProducts<E>;
#endif
};
template <>
struct ProductsOf<float> {
  using Type = FloatProducts;
};

}  // namespace layerhub::attention::prefill
