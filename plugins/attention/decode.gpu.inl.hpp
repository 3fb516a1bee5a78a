// SPDX-License-Identifier: Apache-2.0
// Attention of few query rows over long caches, bound by reading the caches: each row of them is read once for all
// query rows that share it.
//
// A team of threads holds a position's key and value, eight elements each, and every query row's part of them; the
// threads' parts of a score are added up by shuffles. So a block has as many teams as its threads allow, each with
// positions, and an online softmax, of its own: no thread waits for another until the end, where the teams' results are
// merged. Four positions are under way in each team, which corrects its sums once for all four.
#pragma once

#include "problem.gpu.inl.hpp"

namespace layerhub::attention::decode {

constexpr int threads = 128;
constexpr int positions_at_once = 4;
// Blocks that the registers of a multiprocessor hold at once.
constexpr int blocks_at_once(int max_rows) { return max_rows > 4 ? 2 : 3; }

// Threads of a team: a power of two, at most a warp's 32.
__host__ __device__ constexpr int team_for(int width) {
  int team = 1;
  while (team * 8 < width) {
    team *= 2;
  }
  return team;
}
// Positions that a block takes at a time.
constexpr int step_for(int width) { return threads / team_for(width) * positions_at_once; }

// What a team knows of one query row: the largest score, the sum of the weights, and eight columns of the values so
// weighted.
struct Row {
  float largest = minus_infinity, total = 0, sums[8] = {};

  // The results of two teams are those of one that saw the positions of both.
  __device__ void merge(float other_largest, float other_total, const float (&other_sums)[8]) {
    const float top = fmaxf(largest, other_largest);
    const float own = weight_of(largest, top), other = weight_of(other_largest, top);
    largest = top;
    total = total * own + other_total * other;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      sums[i] = sums[i] * own + other_sums[i] * other;
    }
  }

  // With the team that is `distance` lanes away.
  __device__ void merge_with(int distance) {
    float other_sums[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      other_sums[i] = gpu::shuffle_xor(sums[i], distance);
    }
    const float other_largest = gpu::shuffle_xor(largest, distance), other_total = gpu::shuffle_xor(total, distance);
    merge(other_largest, other_total, other_sums);
  }

  // Scores of positions that the row does not see are minus infinity.
  template <class T>
  __device__ void add(const float (&scores)[positions_at_once], const gpu::Eight<T> (&values)[positions_at_once]) {
    float top = largest;
#pragma unroll
    for (int p = 0; p < positions_at_once; ++p) {
      top = fmaxf(top, scores[p]);
    }
    const float correction = weight_of(largest, top);
    largest = top;
    total *= correction;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      sums[i] *= correction;
    }
#pragma unroll
    for (int p = 0; p < positions_at_once; ++p) {
      const float weight = weight_of(scores[p], top);
      total += weight;
      float wide[8];
      gpu::widen(values[p], wide);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        sums[i] += weight * wide[i];
      }
    }
  }
};

// The part of a score that lies in eight columns.
template <class T>
__device__ inline float product(const float (&query)[8], const gpu::Eight<T>& key) {
  float wide[8], sum = 0;
  gpu::widen(key, wide);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    sum += query[i] * wide[i];
  }
  return sum;
}

// The query rows from `first` on as float, each padded with zeros to a team's columns. Behind the last row there is the
// last one again, for which nothing is stored.
template <class T>
__device__ inline void stage_queries(const Problem<T>& problem, int kv_head, int first, int rows, float* staged) {
  const int team = team_for(problem.width);
  for (int item = static_cast<int>(threadIdx.x); item < rows * team; item += threads) {
    const std::int64_t row = problem.row_of(kv_head, min(first + item / team, problem.rows_of_key() - 1));
    float values[8];
    problem.q.widen(problem.q.load(row, item % team * 8, problem.width), values);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      staged[item * 8 + i] = values[i] * problem.scale;
    }
  }
}

// Positions [begin, end) of a key head for the query rows from `first` on.
template <class T, int max_rows>
__device__ inline void attend(const Problem<T>& problem, const float* staged, int kv_head, int first, int begin,
                              int end, Row (&rows)[max_rows]) {
  const int team = team_for(problem.width), teams = threads / team;
  const int own_team = static_cast<int>(threadIdx.x) / team, column = static_cast<int>(threadIdx.x) % team * 8;
  float queries[max_rows][8];
  int seen[max_rows];  // positions that a row sees
#pragma unroll
  for (int r = 0; r < max_rows; ++r) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      queries[r][i] = staged[r * team * 8 + column + i];
    }
    seen[r] = problem.before + problem.token_of(min(first + r, problem.rows_of_key() - 1)) + 1;
  }
  for (int base = begin; base < end; base += teams * positions_at_once) {
    gpu::Eight<T> keys[positions_at_once], values[positions_at_once];
    const auto load = [&](T* cache, int p) {
      const int position = base + p * teams + own_team;
      const int elements = position < end ? problem.width - column : 0;
      return gpu::load_eight<T>(problem.row_of_cache(cache, position, kv_head) + column, elements, problem.is_aligned);
    };
#pragma unroll
    for (int p = 0; p < positions_at_once; ++p) {
      keys[p] = load(problem.k_cache, p);
    }
#pragma unroll
    for (int p = 0; p < positions_at_once; ++p) {
      values[p] = load(problem.v_cache, p);
    }
#pragma unroll
    for (int r = 0; r < max_rows; ++r) {
      float scores[positions_at_once];
#pragma unroll
      for (int p = 0; p < positions_at_once; ++p) {
        scores[p] = product(queries[r], keys[p]);
      }
      for (int distance = 1; distance < team; distance *= 2) {
#pragma unroll
        for (int p = 0; p < positions_at_once; ++p) {
          scores[p] += gpu::shuffle_xor(scores[p], distance);
        }
      }
#pragma unroll
      for (int p = 0; p < positions_at_once; ++p) {
        const int position = base + p * teams + own_team;
        scores[p] = position < min(end, seen[r]) ? scores[p] : minus_infinity;
      }
      rows[r].add(scores, values);
    }
  }
}

// blocks: (splits, kv_heads, rows of a key head / max_rows). With appends_too each block first writes those of the new
// keys and values that it reads: nobody else reads them, since all rows are in this block.
template <class T, int max_rows>
__global__ void __launch_bounds__(threads, blocks_at_once(max_rows)) kernel(Problem<T> problem, bool appends_too) {
  float* shared = gpu::dynamic_shared<float>();
  const int team = team_for(problem.width), padded = team * 8, pitch = padded + 2;
  const int kv_head = static_cast<int>(blockIdx.y), split = static_cast<int>(blockIdx.x);
  const int first = static_cast<int>(blockIdx.z) * max_rows;
  const int count = min(max_rows, problem.rows_of_key() - first);
  const int begin = split * problem.positions_of_split;
  const int end = min(begin + problem.positions_of_split, problem.before + problem.tokens);
  if (appends_too) {
    const int first_new = max(begin, problem.before);
    for (int item = static_cast<int>(threadIdx.x); item < (end - first_new) * team; item += threads) {
      if (item % team * 8 < problem.width) {
        problem.append(first_new + item / team - problem.before, kv_head, item % team * 8);
      }
    }
  }
  stage_queries(problem, kv_head, first, max_rows, shared);
  __syncthreads();
  Row rows[max_rows];
  attend<T, max_rows>(problem, shared, kv_head, first, begin, end, rows);
  __syncthreads();  // the queries have been read

  const int warp = static_cast<int>(threadIdx.x) / gpu::warp_size;
#pragma unroll
  for (int r = 0; r < max_rows; ++r) {
    for (int distance = team; distance < gpu::warp_size; distance *= 2) {
      rows[r].merge_with(distance);
    }
    if (gpu::lane() < team) {
      float* to = shared + (warp * max_rows + r) * pitch;
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        to[gpu::lane() * 8 + i] = rows[r].sums[i];
      }
      to[padded] = rows[r].largest;  // the same in all threads of the team
      to[padded + 1] = rows[r].total;
    }
  }
  __syncthreads();
  for (int item = static_cast<int>(threadIdx.x); item < count * problem.width; item += threads) {
    const int r = item / problem.width, column = item % problem.width;
    float top = minus_infinity, total = 0, sum = 0;
    for (int w = 0; w < threads / gpu::warp_size; ++w) {
      top = fmaxf(top, shared[(w * max_rows + r) * pitch + padded]);
    }
    for (int w = 0; w < threads / gpu::warp_size; ++w) {
      const float* from = shared + (w * max_rows + r) * pitch;
      const float weight = weight_of(from[padded], top);
      total += weight * from[padded + 1];
      sum += weight * from[column];
    }
    problem.put(split, problem.row_of(kv_head, first + r), column, sum, top, total);
  }
}

template <class T, int max_rows>
void run(const lh_call& call, const Problem<T>& problem, bool appends_too) {
  constexpr int most_warps = threads / 32;
  const int pitch = team_for(problem.width) * 8 + 2;
  gpu::launch(call, kernel<T, max_rows>,
              {static_cast<unsigned>(problem.splits), static_cast<unsigned>(problem.kv_heads),
               gpu::blocks_for(problem.rows_of_key(), max_rows)},
              threads, static_cast<std::size_t>(most_warps * max_rows * pitch) * sizeof(float), problem, appends_too);
}

}  // namespace layerhub::attention::decode
