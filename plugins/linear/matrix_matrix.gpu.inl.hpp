// SPDX-License-Identifier: Apache-2.0
// output = input weight^T for many rows of the input, in tiles through shared memory.
//
// A block computes a tile of 64 rows and some outputs. It walks along the columns in steps of 32: both tiles of a step
// are written to shared memory as T, and while they are multiplied the loads of the next step are under way. A row of a
// tile ends with 16 bytes of padding, so that threads that read the same columns of different rows meet in no bank.
//
// T is a 16-bit float where the input is of that dtype and the weight is too, or is a sum of two such numbers: then the
// device's matrix units multiply. It is float otherwise, and each thread computes 4 x 4 outputs. Sums are float in
// both.
#pragma once

#include "product.gpu.inl.hpp"

#include <layerhub/sdk/gpu_matrix.hpp>

#include <type_traits>

namespace layerhub::linear::matrix_matrix {

constexpr int threads = 256;
constexpr int tile_rows = 64;
constexpr int depth = 32;  // columns of a step
constexpr int eights_of_depth = depth / 8;

template <class T>
constexpr int tile_outputs = std::is_same_v<T, float> ? 64 : 128;
template <class T>
constexpr int tile_pitch = depth + gpu::vector_width<T>;
// Tiles of the weight, whose sum it is.
template <class Weight, class T>
constexpr int parts_of = std::is_same_v<T, float> ? 1 : Weight::template parts<T>;

// The part of the tiles that one thread carries: one eight of the input and some of the weight.
template <class Weight, class T>
class Carried {
 public:
  static constexpr int weight_eights = tile_outputs<T> * eights_of_depth / threads;
  static constexpr int rows_apart = threads / eights_of_depth;  // of the tile, between the eights of a thread

  // Rows and outputs behind the last are the last one's again: they only reach results that are not stored. Columns
  // behind the last are zeros of both; blocks fill the step.
  __device__ void load(const Product<Weight>& product, const Input& input, std::int64_t first_row, int first_output,
                       int column) {
    const std::int64_t row = first_row + own_row() < input.rows ? first_row + own_row() : input.rows - 1;
    x_ = input.x.load(row, column + own_eight() * 8, input.columns);
#pragma unroll
    for (int i = 0; i < weight_eights; ++i) {
      const int output = min(first_output + own_row() + i * rows_apart, product.outputs - 1);
      weight_[i] = product.weight.load_eight(output, column / 8 + own_eight());
    }
  }

  __device__ void store(const Weight& weight, const gpu::FloatRows& x, T* x_tile, T* weight_tile) const {
    float values[8];
    x.widen(x_, values);
    store_eight(values, x_tile + own_row() * tile_pitch<T>);
#pragma unroll
    for (int i = 0; i < weight_eights; ++i) {
      Weight::code(weight_[i], values);
      if constexpr (Weight::is_scaled) {
        const Affine affine = weight.affine(weight_[i]);
#pragma unroll
        for (float& value : values) {
          value = affine.scale * value + affine.offset;
        }
      }
      T* to = weight_tile + (own_row() + i * rows_apart) * tile_pitch<T>;
#pragma unroll
      for (int part = 0; part < parts_of<Weight, T>; ++part) {
        store_eight(values, to + part * tile_outputs<T> * tile_pitch<T>);
      }
    }
  }

 private:
  __device__ static int own_row() { return static_cast<int>(threadIdx.x) / eights_of_depth; }
  __device__ static int own_eight() { return static_cast<int>(threadIdx.x) % eights_of_depth; }

  // Leaves in `values` what T could not hold of them.
  __device__ static void store_eight(float (&values)[8], T* row) {
#pragma unroll
    for (int i = 0; i < 8; i += gpu::vector_width<T>) {
      gpu::Pack<T> pack;
#pragma unroll
      for (int j = 0; j < gpu::vector_width<T>; ++j) {
        pack[j] = gpu::narrow<T>(values[i + j]);
        values[i + j] -= gpu::widen(pack[j]);
      }
      gpu::store_pack(row + own_eight() * 8 + i, pack);
    }
  }

  gpu::AnyEight x_;
  typename Weight::Eight weight_[weight_eights];
};

// 16 x 16 threads, each with four rows and four outputs that lie 16 apart.
class FloatProducts {
 public:
  __device__ void add(const float* x_tile, const float* weight_tile) {
    constexpr int pitch = tile_pitch<float>;
#pragma unroll
    for (int k = 0; k < depth; k += 4) {
      gpu::Pack<float> x[4], w[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        x[i] = gpu::load_pack(x_tile + (own_row() + 16 * i) * pitch + k);
        w[i] = gpu::load_pack(weight_tile + (own_output() + 16 * i) * pitch + k);
      }
#pragma unroll
      for (int r = 0; r < 4; ++r) {
#pragma unroll
        for (int o = 0; o < 4; ++o) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sums_[r][o] += x[r][i] * w[o][i];
          }
        }
      }
    }
  }
  __device__ void store(float* results, int pitch) const {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
#pragma unroll
      for (int o = 0; o < 4; ++o) {
        results[(own_row() + 16 * r) * pitch + own_output() + 16 * o] = sums_[r][o];
      }
    }
  }

 private:
  __device__ static int own_row() { return static_cast<int>(threadIdx.x) / 16; }
  __device__ static int own_output() { return static_cast<int>(threadIdx.x) % 16; }

  float sums_[4][4] = {};
};

#if LAYERHUB_GPU_MATRIX_UNITS
// 2 x 4 warps, each with 32 rows and 32 outputs.
template <class T, int parts>
class MatrixProducts {
 public:
  __device__ MatrixProducts() {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      gpu::set_matrix(sums_[i / 2][i % 2], 0);
    }
  }
  __device__ void add(const T* x_tile, const T* weight_tile) {
    constexpr int pitch = tile_pitch<T>;
#pragma unroll
    for (int k = 0; k < depth; k += 16) {
      gpu::MatrixA<T> x[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        gpu::load_matrix(x[i], x_tile + (own_row() + 16 * i) * pitch + k, pitch);
      }
#pragma unroll
      for (int i = 0; i < 2 * parts; ++i) {
        const int row = i / 2 * tile_outputs<T> + own_output() + i % 2 * 16;
        gpu::MatrixB<T> w;
        gpu::load_matrix(w, weight_tile + row * pitch + k, pitch);
        gpu::multiply_matrices<T>(sums_[0][i % 2], x[0], w);
        gpu::multiply_matrices<T>(sums_[1][i % 2], x[1], w);
      }
    }
  }
  __device__ void store(float* results, int pitch) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      gpu::store_matrix(results + (own_row() + i / 2 * 16) * pitch + own_output() + i % 2 * 16, sums_[i / 2][i % 2],
                        pitch);
    }
  }

 private:
  __device__ static int own_row() { return static_cast<int>(threadIdx.x) / gpu::warp_size / 4 * 32; }
  __device__ static int own_output() { return static_cast<int>(threadIdx.x) / gpu::warp_size % 4 * 32; }

  gpu::MatrixSum sums_[2][2];
};
#endif

template <class T, int parts>
struct ProductsOf {
  using Type = FloatProducts;
};
#if LAYERHUB_GPU_MATRIX_UNITS
template <int parts>
struct ProductsOf<float16, parts> {
  using Type = MatrixProducts<float16, parts>;
};
template <int parts>
struct ProductsOf<bfloat16, parts> {
  using Type = MatrixProducts<bfloat16, parts>;
};
#endif

// blocks: (rows / tile_rows, outputs / tile_outputs)
template <class Weight, class T>
__global__ void __launch_bounds__(threads) kernel(Product<Weight> product, Input input) {
  constexpr int parts = parts_of<Weight, T>;
  constexpr int result_pitch = tile_outputs<T> + 4;
  constexpr std::size_t tile_bytes = (tile_rows + parts * tile_outputs<T>)*tile_pitch<T> * sizeof(T);
  constexpr std::size_t result_bytes = tile_rows * result_pitch * sizeof(float);
  // The results come when the tiles are no longer needed. Through this memory, since the matrix units alone know which
  // thread holds which result, and so that a warp writes results that lie next to each other.
  alignas(32) __shared__ unsigned char memory[std::max(tile_bytes, result_bytes)];
  T* x_tile = reinterpret_cast<T*>(memory);
  T* weight_tile = x_tile + tile_rows * tile_pitch<T>;
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.x) * tile_rows;
  const int first_output = static_cast<int>(blockIdx.y) * tile_outputs<T>;

  typename ProductsOf<T, parts>::Type products;
  Carried<Weight, T> carried;
  if (input.columns > 0) {
    carried.load(product, input, first_row, first_output, 0);
  }
  for (int column = 0; column < input.columns; column += depth) {
    __syncthreads();  // the tiles before have been multiplied
    carried.store(product.weight, input.x, x_tile, weight_tile);
    __syncthreads();
    if (column + depth < input.columns) {
      carried.load(product, input, first_row, first_output, column + depth);
    }
    products.add(x_tile, weight_tile);
  }
  __syncthreads();
  float* results = reinterpret_cast<float*>(memory);
  products.store(results, result_pitch);
  __syncthreads();
  for (int item = static_cast<int>(threadIdx.x); item < tile_rows * tile_outputs<T>; item += threads) {
    const int tile_row = item / tile_outputs<T>, tile_output = item % tile_outputs<T>;
    const std::int64_t row = first_row + tile_row;
    const int output = first_output + tile_output;
    if (row < input.rows && output < product.outputs) {
      const float value = results[tile_row * result_pitch + tile_output];
      product.y.store(row, output, product.bias == nullptr ? value : value + product.bias[output]);
    }
  }
}

template <class T, class Weight>
void run(const lh_call& call, const Product<Weight>& product, const Input& input) {
  gpu::launch(call, kernel<Weight, T>,
              {gpu::blocks_for(input.rows, tile_rows), gpu::blocks_for(product.outputs, tile_outputs<T>)}, threads, 0,
              product, input);
}

}  // namespace layerhub::linear::matrix_matrix
