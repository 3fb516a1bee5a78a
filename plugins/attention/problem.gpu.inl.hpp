// SPDX-License-Identifier: Apache-2.0
// A call of CausalAttention as its kernels on CUDA and HIP see it, and how its positions are split.
//
// A block serves one key head and some query rows: the heads that share that key head, of one token after the other, so
// that what it reads of the caches serves them all. Where such blocks are too few to fill the device the positions are
// split between several; each then leaves its rows' largest score, the sum of their weights and the weighted values,
// and a second kernel merges them in their order.
#pragma once

#include <layerhub/sdk/gpu_floats.hpp>

#include <algorithm>

namespace layerhub::attention {

using namespace layerhub::sdk;

constexpr int max_width = 256;
constexpr int max_splits = 256;

constexpr float minus_infinity = gpu::Max::identity;

// exp(score - top), and 0 for what no position has been seen of.
__device__ inline float weight_of(float score, float top) { return score == minus_infinity ? 0.f : expf(score - top); }

// T: the elements of the caches, [capacity, kv_heads, width].
template <class T>
struct Problem {
  gpu::FloatRows q, k, v, output;  // rows: (token, head)
  T* k_cache;
  T* v_cache;
  int tokens, heads, kv_heads, width;
  int before;  // positions that the caches held
  float scale;
  bool is_aligned;  // every row of the caches begins at a multiple of 16 bytes
  int splits, positions_of_split;
  float* partial_sums;        // [splits, tokens * heads, width]
  float* partial_statistics;  // [splits, tokens * heads, 2]: the largest score and the sum of the weights

  // Query row `index` of a key head: its token, and where it is in q and output.
  __host__ __device__ int heads_of_key() const { return heads / kv_heads; }
  __host__ __device__ int rows_of_key() const { return tokens * heads_of_key(); }
  __device__ int token_of(int index) const { return index / heads_of_key(); }
  __device__ std::int64_t row_of(int kv_head, int index) const {
    return static_cast<std::int64_t>(token_of(index)) * heads + kv_head * heads_of_key() + index % heads_of_key();
  }

  __device__ T* row_of_cache(T* cache, int position, int kv_head) const {
    return cache + (static_cast<std::int64_t>(position) * kv_heads + kv_head) * width;
  }

  // Eight elements of a new token's key and value into the caches.
  __device__ void append(int token, int kv_head, int column) const {
    const std::int64_t row = static_cast<std::int64_t>(token) * kv_heads + kv_head;
    append(k, row, row_of_cache(k_cache, before + token, kv_head), column);
    append(v, row, row_of_cache(v_cache, before + token, kv_head), column);
  }

  // What a block found for a row: the sum of the weighted values of a column, for the weights' largest score and sum.
  __device__ void put(int split, std::int64_t row, int column, float sum, float largest, float total) const {
    if (splits == 1) {
      output.store(row, column, sum / total);
      return;
    }
    const std::int64_t at = static_cast<std::int64_t>(split) * tokens * heads + row;
    partial_sums[at * width + column] = sum;
    if (column == 0) {
      partial_statistics[at * 2] = largest;
      partial_statistics[at * 2 + 1] = total;
    }
  }

 private:
  __device__ void append(const gpu::FloatRows& from, std::int64_t row, T* to, int column) const {
    float values[8];
    from.widen(from.load(row, column, width), values);
    gpu::Eight<T> eight;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      eight[i] = gpu::narrow<T>(values[i]);
    }
    gpu::store_eight(to + column, eight, width - column, is_aligned);
  }
};

// How many parts `positions` are cut into, for blocks that each take `step` positions at a time and of which the device
// holds `at_once`: as many as it holds, so that they run beside each other and end together, each of one step at least.
inline int splits_for(std::int64_t positions, std::int64_t blocks, int step, std::int64_t at_once) {
  const std::int64_t wanted = at_once / blocks;
  return static_cast<int>(
      std::clamp<std::int64_t>((positions + step - 1) / step, 1, std::clamp<std::int64_t>(wanted, 1, max_splits)));
}

constexpr int append_threads = 256;

// A thread for each eight of the new rows.
template <class T>
__global__ void append(Problem<T> problem) {
  const int eights = (problem.width + 7) / 8;
  const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * append_threads + threadIdx.x;
  const std::int64_t row = item / eights;
  const int token = static_cast<int>(row / problem.kv_heads);
  if (token < problem.tokens) {
    problem.append(token, static_cast<int>(row % problem.kv_heads), static_cast<int>(item % eights) * 8);
  }
}

constexpr int merge_threads = 256;
static_assert(max_splits <= merge_threads && max_width <= merge_threads);

// A block for each row: a thread weighs one split, then several threads share out the splits of a column.
template <class T>
__global__ void __launch_bounds__(merge_threads) merge(Problem<T> problem) {
  __shared__ float weights[max_splits], sums[merge_threads];
  const int thread = static_cast<int>(threadIdx.x), width = problem.width;
  const std::int64_t row = blockIdx.x, rows = static_cast<std::int64_t>(problem.tokens) * problem.heads;
  float largest = minus_infinity, total = 0;
  if (thread < problem.splits) {
    largest = problem.partial_statistics[(thread * rows + row) * 2];
    total = problem.partial_statistics[(thread * rows + row) * 2 + 1];
  }
  const float weight = weight_of(largest, gpu::block_max(largest));
  weights[thread] = weight;
  total = gpu::block_sum(weight * total);  // and all weights are there
  const int parts = merge_threads / width, part = thread / width, column = thread % width;
  float sum = 0;
  if (part < parts) {
#pragma unroll 4
    for (int split = part; split < problem.splits; split += parts) {
      sum += weights[split] * problem.partial_sums[(split * rows + row) * width + column];
    }
  }
  sums[thread] = sum;
  __syncthreads();
  if (thread < width) {
    for (int other = 1; other < parts; ++other) {
      sum += sums[other * width + column];
    }
    problem.output.store(row, column, sum / total);
  }
}

}  // namespace layerhub::attention
