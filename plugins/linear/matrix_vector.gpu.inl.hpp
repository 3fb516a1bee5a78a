// SPDX-License-Identifier: Apache-2.0
// output = input weight^T for few rows of the input, bound by reading the weight: each of its numbers is read once for
// all rows, by 16-byte loads that lie next to each other, one step ahead of the arithmetic.
//
// A team of 32 threads computes two outputs, so that what it reads of x serves both; which two, and what becomes of
// them, is a job's to say. x lies in shared memory as float, in stages where a row does not fit. After every 32 columns
// four floats are left free: threads whose chunks are 8, 16 or 32 columns apart then read from different banks. The
// first of the four holds the sum of its 32 columns, which weights with an offset need.
#pragma once

#include "product.gpu.inl.hpp"

namespace layerhub::linear::matrix_vector {

constexpr int team = 32;  // whatever the width of a warp is, so that the launch does not depend on it
constexpr int max_threads = 256, min_threads = 64;
constexpr int outputs_of_team = 2;
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
__device__ inline void stage_row(const Input& input, std::int64_t row, int begin, int count, float* staged) {
  for (int base = 0; base < count; base += static_cast<int>(blockDim.x) * 8) {
    const int column = base + static_cast<int>(threadIdx.x) * 8;
    float values[8] = {};
    if (column < count) {
      input.x.widen(input.x.load(row, begin + column, input.columns), values);
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
template <class Task, int max_rows>
__device__ inline void add_chunk(const Task& task, const typename Task::Weight::Chunk (&chunks)[outputs_of_team],
                                 const float* staged, int pitch, int column, float (&sums)[outputs_of_team][max_rows]) {
  using Weight = typename Task::Weight;
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
    const Affine affine = task.weight(o).affine(chunks[o]);
#pragma unroll
    for (int r = 0; r < max_rows; ++r) {
      sums[o][r] += Weight::is_scaled ? affine.scale * products[o][r] : products[o][r];
      if constexpr (Weight::has_offset) {
        sums[o][r] += affine.offset * staged[r * pitch + place_of(column) + 32];
      }
    }
  }
}

// The outputs of up to three products of the same input, one after the other.
template <class W>
struct Batch {
  using Weight = W;
  Product<Weight> products[max_products];
  int count = 0;

  struct Task {
    using Weight = W;
    const Product<Weight>& product;
    int first;

    __device__ const Weight& weight(int) const { return product.weight; }
    // Behind the last output the last one is computed again, and not stored.
    __device__ int row(int o) const { return min(first + o, product.outputs - 1); }
    // Each result is stored by a thread of its own.
    template <int max_rows>
    __device__ void store(int thread, const float (&sums)[outputs_of_team][max_rows], std::int64_t first_row,
                          std::int64_t rows) const {
      float result = 0;
#pragma unroll
      for (int i = 0; i < outputs_of_team * max_rows; ++i) {
        result = thread == i ? sums[i / max_rows][i % max_rows] : result;
      }
      const int output = first + thread / max_rows;
      const std::int64_t to = first_row + thread % max_rows;
      if (thread < outputs_of_team * max_rows && output < product.outputs && to < rows) {
        product.y.store(to, output, product.bias == nullptr ? result : result + product.bias[output]);
      }
    }
  };

  __host__ __device__ static constexpr int teams_for(int outputs) {
    return (outputs + outputs_of_team - 1) / outputs_of_team;
  }
  std::int64_t teams() const {
    std::int64_t sum = 0;
    for (int i = 0; i < count; ++i) {
      sum += teams_for(products[i].outputs);
    }
    return sum;
  }
  __device__ Task task(int team_index) const {
    int i = 0;
    for (; i + 1 < count && team_index >= teams_for(products[i].outputs); ++i) {
      team_index -= teams_for(products[i].outputs);
    }
    return {products[i], team_index * outputs_of_team};
  }
};

// y = silu(x gate^T) * (x up^T): a team computes an output of each, and their product.
template <class W>
struct Gated {
  using Weight = W;
  Weight gate, up;
  int outputs;
  gpu::FloatRows y;

  struct Task {
    using Weight = W;
    const Gated& job;
    int output;

    __device__ const Weight& weight(int o) const { return o == 0 ? job.gate : job.up; }
    __device__ int row(int) const { return min(output, job.outputs - 1); }
    template <int max_rows>
    __device__ void store(int thread, const float (&sums)[outputs_of_team][max_rows], std::int64_t first_row,
                          std::int64_t rows) const {
      float result = 0;
#pragma unroll
      for (int r = 0; r < max_rows; ++r) {
        result = thread == r ? gated(sums[0][r], sums[1][r]) : result;
      }
      const std::int64_t to = first_row + thread;
      if (thread < max_rows && output < job.outputs && to < rows) {
        job.y.store(to, output, result);
      }
    }
  };

  std::int64_t teams() const { return outputs; }
  __device__ Task task(int team_index) const { return {*this, team_index}; }
};

// blocks: (teams / teams of a block, rows / max_rows)
template <class Job, int max_rows>
__global__ void __launch_bounds__(max_threads) kernel(Job job, Input input) {
  using Weight = typename Job::Weight;
  constexpr int chunk_columns = Weight::eights_of_chunk * 8;
  constexpr int columns_of_step = team * chunk_columns;
  float* staged = gpu::dynamic_shared<float>();
  const int columns_of_stage = stage_columns(max_rows, input.columns), pitch = place_of(columns_of_stage);
  const int thread = static_cast<int>(threadIdx.x) % team;
  const auto task = job.task(static_cast<int>(blockIdx.x * (blockDim.x / team) + threadIdx.x / team));
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * max_rows;
  const int chunks = (input.columns + chunk_columns - 1) / chunk_columns;

  typename Weight::Chunk next[outputs_of_team];
  const auto load = [&](int chunk) {
#pragma unroll
    for (int o = 0; o < outputs_of_team; ++o) {
      next[o] = task.weight(o).load_chunk(task.row(o), chunk);
    }
  };
  if (thread < chunks) {
    load(thread);
  }
  float sums[outputs_of_team][max_rows] = {};
  for (int begin = 0; begin < input.columns; begin += columns_of_stage) {
    const int end = min(begin + columns_of_stage, input.columns);
    __syncthreads();  // the stage before has been read
#pragma unroll 1
    for (int r = 0; r < max_rows; ++r) {
      // Behind the last row the last one again.
      const std::int64_t row = first_row + r < input.rows ? first_row + r : input.rows - 1;
      stage_row(input, row, begin, (end - begin + 31) / 32 * 32, staged + r * pitch);
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
      add_chunk(task, current, staged, pitch, column, sums);
    }
  }
#pragma unroll
  for (int o = 0; o < outputs_of_team; ++o) {
#pragma unroll
    for (int r = 0; r < max_rows; ++r) {
      sums[o][r] = team_sum(sums[o][r]);
    }
  }
  task.store(thread, sums, first_row, input.rows);
}

template <int max_rows, class Job>
void run(const lh_call& call, const Job& job, const Input& input) {
  const auto shared = static_cast<std::size_t>(max_rows * place_of(stage_columns(max_rows, input.columns)));
  const unsigned row_groups = gpu::blocks_for(input.rows, max_rows);
  // Each block writes x to its shared memory: few large ones, but as many as there are multiprocessors.
  int threads = max_threads;
  while (threads > min_threads && gpu::blocks_for(job.teams(), threads / team) * row_groups <
                                      static_cast<unsigned>(gpu::multiprocessors(call.device.device_id))) {
    threads /= 2;
  }
  gpu::launch(call, kernel<Job, max_rows>, {gpu::blocks_for(job.teams(), threads / team), row_groups},
              static_cast<unsigned>(threads), shared * sizeof(float), job, input);
}

}  // namespace layerhub::linear::matrix_vector
