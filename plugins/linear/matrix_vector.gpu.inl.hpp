// SPDX-License-Identifier: Apache-2.0
// output = input weight^T for few rows of the input, bound by reading the weight: each of its numbers is read once for
// all rows, by 16-byte loads that lie next to each other, one step ahead of the arithmetic.
//
// A team of 32 threads computes two outputs, so that what it reads of x serves both. x lies in shared memory as float,
// in stages where a row does not fit. After every 32 columns four floats are left free: threads whose chunks are 8, 16
// or 32 columns apart then read from different banks. The first of the four holds the sum of its 32 columns, which
// weights with an offset need.
#pragma once

#include "weight.gpu.inl.hpp"

namespace layerhub::linear {

struct Sizes {
  std::int64_t rows;  // of the input
  int outputs, columns;
};

namespace matrix_vector {

constexpr int team = 32;  // whatever the width of a warp is, so that the launch does not depend on it
constexpr int max_threads = 256, min_threads = 64;
constexpr int outputs_of_team = 2;
__host__ __device__ constexpr int outputs_of_block(int threads) { return threads / team * outputs_of_team; }
constexpr int staged_columns = 8192;  // of all rows together: 36 KiB

__host__ __device__ constexpr int place_of(int column) { return column + column / 32 * 4; }
__host__ __device__ constexpr int stage_columns(int max_rows, int columns) {
  const int whole = (columns + 31) / 32 * 32;
  return whole < staged_columns / max_rows ? whole : staged_columns / max_rows;
}

__device__ inline float team_sum(float value) {
  for (int distance = team / 2; distance > 0; distance /= 2) {
    value += gpu::shuffle_xor(value, distance);
  }
  return value;
}

// Columns [begin, begin + count) of a row, with zeros behind the row's end; all threads of the block take part.
__device__ inline void stage_row(const gpu::FloatRows& x, std::int64_t row, int begin, int count, int columns,
                                 float* staged) {
  for (int base = 0; base < count; base += static_cast<int>(blockDim.x) * 8) {
    const int column = base + static_cast<int>(threadIdx.x) * 8;
    float values[8] = {};
    if (column < count) {
      x.widen(x.load(row, begin + column, columns), values);
    }
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      sum += values[i];
    }
    sum += gpu::shuffle_xor(sum, 1);
    sum += gpu::shuffle_xor(sum, 2);  // of four threads: 32 columns
    if (column < count) {
      float* to = staged + place_of(column);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        to[i] = values[i];
      }
      if (column % 32 == 0) {
        to[32] = sum;
      }
    }
  }
}

// sums[o][r] += the products of one chunk of each output with the columns at staged + r * pitch.
template <class Weight, int max_rows>
__device__ inline void add_chunk(const Weight& weight, const typename Weight::Chunk (&chunks)[outputs_of_team],
                                 const float* staged, int pitch, int column, float (&sums)[outputs_of_team][max_rows]) {
  float products[outputs_of_team][max_rows] = {};
#pragma unroll
  for (int e = 0; e < Weight::eights_of_chunk; ++e) {
    float codes[outputs_of_team][8];
#pragma unroll
    for (int o = 0; o < outputs_of_team; ++o) {
      Weight::code(Weight::eight_of(chunks[o], e), codes[o]);
    }
#pragma unroll
    for (int r = 0; r < max_rows; ++r) {
      const auto* x = reinterpret_cast<const gpu::Pack<float>*>(staged + r * pitch + place_of(column + e * 8));
      const gpu::Pack<float> first = x[0], second = x[1];
#pragma unroll
      for (int o = 0; o < outputs_of_team; ++o) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          products[o][r] += codes[o][i] * first[i];
          products[o][r] += codes[o][i + 4] * second[i];
        }
      }
    }
  }
#pragma unroll
  for (int o = 0; o < outputs_of_team; ++o) {
    const Affine affine = weight.affine(chunks[o]);
#pragma unroll
    for (int r = 0; r < max_rows; ++r) {
      sums[o][r] += Weight::is_scaled ? affine.scale * products[o][r] : products[o][r];
      if constexpr (Weight::has_offset) {
        sums[o][r] += affine.offset * staged[r * pitch + place_of(column) + 32];
      }
    }
  }
}

// blocks: (outputs / outputs_of_block(threads), rows / max_rows). bias: NULL for none.
template <class Weight, int max_rows>
__global__ void __launch_bounds__(max_threads)
    kernel(Weight weight, gpu::FloatRows x, gpu::FloatRows y, const float* bias, Sizes sizes) {
  constexpr int chunk_columns = Weight::eights_of_chunk * 8;
  constexpr int columns_of_step = team * chunk_columns;
  float* staged = gpu::dynamic_shared<float>();
  const int columns_of_stage = stage_columns(max_rows, sizes.columns), pitch = place_of(columns_of_stage);
  const int thread = static_cast<int>(threadIdx.x) % team;
  const int first_output = static_cast<int>(blockIdx.x) * outputs_of_block(static_cast<int>(blockDim.x)) +
                           static_cast<int>(threadIdx.x) / team * outputs_of_team;
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * max_rows;
  const int chunks = (sizes.columns + chunk_columns - 1) / chunk_columns;

  // Behind the last row and the last output the last one is computed again, and not stored.
  typename Weight::Chunk next[outputs_of_team];
  const auto load = [&](int chunk) {
#pragma unroll
    for (int o = 0; o < outputs_of_team; ++o) {
      next[o] = weight.load_chunk(min(first_output + o, sizes.outputs - 1), chunk);
    }
  };
  if (thread < chunks) {
    load(thread);
  }
  float sums[outputs_of_team][max_rows] = {};
  for (int begin = 0; begin < sizes.columns; begin += columns_of_stage) {
    const int end = min(begin + columns_of_stage, sizes.columns);
    __syncthreads();  // the stage before has been read
#pragma unroll 1
    for (int r = 0; r < max_rows; ++r) {
      const std::int64_t row = first_row + r < sizes.rows ? first_row + r : sizes.rows - 1;
      stage_row(x, row, begin, (end - begin + 31) / 32 * 32, sizes.columns, staged + r * pitch);
    }
    __syncthreads();
    for (int column = thread * chunk_columns; begin + column < end; column += columns_of_step) {
      typename Weight::Chunk current[outputs_of_team];
#pragma unroll
      for (int o = 0; o < outputs_of_team; ++o) {
        current[o] = next[o];
      }
      const int following = (begin + column) / chunk_columns + team;
      if (following < chunks) {
        load(following);
      }
      add_chunk<Weight, max_rows>(weight, current, staged, pitch, column, sums);
    }
  }
  // Each result is stored by a thread of its own.
  float result = 0;
#pragma unroll
  for (int o = 0; o < outputs_of_team; ++o) {
#pragma unroll
    for (int r = 0; r < max_rows; ++r) {
      const float sum = team_sum(sums[o][r]);
      result = thread == o * max_rows + r ? sum : result;
    }
  }
  const int output = first_output + thread / max_rows;
  const std::int64_t row = first_row + thread % max_rows;
  if (thread < outputs_of_team * max_rows && output < sizes.outputs && row < sizes.rows) {
    y.store(row, output, bias == nullptr ? result : result + bias[output]);
  }
}

template <class Weight, int max_rows>
void run(const lh_call& call, const Weight& weight, const gpu::FloatRows& x, const gpu::FloatRows& y, const float* bias,
         const Sizes& sizes) {
  const auto shared = static_cast<std::size_t>(max_rows * place_of(stage_columns(max_rows, sizes.columns)));
  const unsigned row_groups = gpu::blocks_for(sizes.rows, max_rows);
  // Each block writes x to its shared memory: few large ones, but as many as there are multiprocessors.
  int threads = max_threads;
  while (threads > min_threads && gpu::blocks_for(sizes.outputs, outputs_of_block(threads)) * row_groups <
                                      static_cast<unsigned>(gpu::multiprocessors(call.device.device_id))) {
    threads /= 2;
  }
  gpu::launch(call, kernel<Weight, max_rows>, {gpu::blocks_for(sizes.outputs, outputs_of_block(threads)), row_groups},
              static_cast<unsigned>(threads), shared * sizeof(float), weight, x, y, bias, sizes);
}

}  // namespace matrix_vector
}  // namespace layerhub::linear
