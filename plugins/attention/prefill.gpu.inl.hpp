// SPDX-License-Identifier: Apache-2.0
// Attention of many query rows, with an online softmax over tiles of positions: nothing of the size of the score matrix
// is ever kept.
//
// A block has 32 query rows, as float in shared memory, and walks over the positions 32 at a time, in slices of 64
// columns: the keys' slices give the scores, then the values' slices are added to the sums in registers, and while a
// slice is multiplied the loads of the next one are under way. Rows of shared memory end with 16 bytes of padding, so
// that threads that read the same columns of different rows meet in no bank.
#pragma once

#include "problem.gpu.inl.hpp"

namespace layerhub::attention::prefill {

constexpr int threads = 128;
constexpr int blocks_at_once = 3;  // of a multiprocessor, which their registers allow
constexpr int tile_rows = 32;
constexpr int tile_positions = 32;
constexpr int slice_columns = 64;
constexpr int max_slices = max_width / slice_columns;
constexpr int slice_pitch = slice_columns + 4;
constexpr int score_pitch = tile_positions + 4;

__host__ __device__ constexpr int slices_of(int width) { return (width + slice_columns - 1) / slice_columns; }
__host__ __device__ constexpr int query_pitch(int width) { return slices_of(width) * slice_columns + 4; }
constexpr std::size_t shared_bytes(int width) {
  return sizeof(float) * static_cast<std::size_t>(tile_rows * query_pitch(width) + tile_positions * slice_pitch +
                                                  tile_rows * score_pitch + 3 * tile_rows);
}

template <class T>
class Block {
 public:
  __device__ Block(const Problem<T>& problem, int first_row)
      : problem_(problem), kv_head_(static_cast<int>(blockIdx.y)), first_row_(first_row) {
    count_ = min(tile_rows, problem.rows_of_key() - first_row);
    slices_ = slices_of(problem.width);
    queries_ = gpu::dynamic_shared<float>();
    slice_ = queries_ + tile_rows * query_pitch(problem.width);
    scores_ = slice_ + tile_positions * slice_pitch;
    largest_ = scores_ + tile_rows * score_pitch;
    total_ = largest_ + tile_rows;
    correction_ = total_ + tile_rows;
  }

  __device__ void run(int split) {
    begin_ = split * problem_.positions_of_split;
    // The last row sees the most positions.
    end_ = min(begin_ + problem_.positions_of_split, seen(count_ - 1));
    load_queries();
    if (begin_ < end_) {
      carry(begin_, 0);
    }
    for (int position = begin_; position < end_; position += tile_positions) {
      add_tile(position);
    }
    put(split);
  }

 private:
  static constexpr int carried_eights = tile_positions * slice_columns / 8 / threads;

  __device__ static int thread() { return static_cast<int>(threadIdx.x); }
  // 8 x 16 threads: a thread has the rows own_row() + 8 i, of scores the positions own_column() + 16 j, of sums the
  // four columns from 4 * own_column() on.
  __device__ static int own_row() { return thread() / 16; }
  __device__ static int own_column() { return thread() % 16; }
  // Positions that a row of the tile sees.
  __device__ int seen(int row) const { return problem_.before + problem_.token_of(first_row_ + row) + 1; }

  // Behind the last row the last one again, which is not stored.
  __device__ void load_queries() {
    const int eights = slices_ * slice_columns / 8;
    for (int item = thread(); item < tile_rows * eights; item += threads) {
      const int row = item / eights, column = item % eights * 8;
      float values[8] = {};
      if (column < problem_.width) {
        const std::int64_t at = problem_.row_of(kv_head_, first_row_ + min(row, count_ - 1));
        problem_.q.widen(problem_.q.load(at, column, problem_.width), values);
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        queries_[row * query_pitch(problem_.width) + column + i] = values[i] * problem_.scale;
      }
    }
    if (thread() < tile_rows) {
      largest_[thread()] = minus_infinity;
      total_[thread()] = 0;
    }
  }

  // Begins to load a slice of a tile of positions: 0, 1, .. those of the keys, then those of the values.
  __device__ void carry(int position, int slice) {
    T* cache = slice < slices_ ? problem_.k_cache : problem_.v_cache;
#pragma unroll
    for (int i = 0; i < carried_eights; ++i) {
      const int item = thread() + i * threads, row = item / (slice_columns / 8);
      const int column = slice % slices_ * slice_columns + item % (slice_columns / 8) * 8;
      const int elements = position + row < end_ ? problem_.width - column : 0;
      carried_[i] = gpu::load_eight<T>(problem_.row_of_cache(cache, position + row, kv_head_) + column, elements,
                                       problem_.is_aligned);
    }
  }

  // The carried slice into shared memory; begins to load the next one.
  __device__ void take_slice(int position, int slice) {
    __syncthreads();  // the slice before has been used
#pragma unroll
    for (int i = 0; i < carried_eights; ++i) {
      const int item = thread() + i * threads;
      float values[8];
      gpu::widen(carried_[i], values);
      float* to = slice_ + item / (slice_columns / 8) * slice_pitch + item % (slice_columns / 8) * 8;
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        to[j] = values[j];
      }
    }
    __syncthreads();
    if (slice + 1 < 2 * slices_) {
      carry(position, slice + 1);
    } else if (position + tile_positions < end_) {
      carry(position + tile_positions, 0);
    }
  }

  __device__ void add_tile(int position) {
    float scores[4][2] = {};
    for (int slice = 0; slice < slices_; ++slice) {
      take_slice(position, slice);
      add_scores(slice, scores);
    }
#pragma unroll
    for (int r = 0; r < 4; ++r) {
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        scores_[(own_row() + 8 * r) * score_pitch + own_column() + 16 * p] = scores[r][p];
      }
    }
    __syncthreads();
    weigh(position);
#pragma unroll
    for (int slice = 0; slice < max_slices; ++slice) {
      if (slice < slices_) {
        take_slice(position, slices_ + slice);  // and all weights are there
        add_values(sums_[slice]);
      }
    }
  }

  __device__ void add_scores(int slice, float (&scores)[4][2]) const {
    const float* queries = queries_ + slice * slice_columns;
    const int pitch = query_pitch(problem_.width);
#pragma unroll 2
    for (int column = 0; column < slice_columns; column += 4) {
      gpu::Pack<float> q[4], k[2];
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        q[r] = gpu::load_pack(queries + (own_row() + 8 * r) * pitch + column);
      }
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        k[p] = gpu::load_pack(slice_ + (own_column() + 16 * p) * slice_pitch + column);
      }
#pragma unroll
      for (int r = 0; r < 4; ++r) {
#pragma unroll
        for (int p = 0; p < 2; ++p) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            scores[r][p] += q[r][i] * k[p][i];
          }
        }
      }
    }
  }

  // Four threads for each row: scores become weights, and the row's largest score and sum move on.
  __device__ void weigh(int position) {
    constexpr int of_thread = tile_positions / 4;
    const int row = thread() / 4, first = thread() % 4 * of_thread;
    float* scores = scores_ + row * score_pitch + first;
    const int visible = min(end_, seen(min(row, count_ - 1))) - position - first;
    const float before = largest_[row];
    float top = before, sum = 0;
#pragma unroll
    for (int p = 0; p < of_thread; ++p) {
      top = fmaxf(top, p < visible ? scores[p] : minus_infinity);
    }
    top = fmaxf(top, gpu::shuffle_xor(top, 1));
    top = fmaxf(top, gpu::shuffle_xor(top, 2));
#pragma unroll
    for (int p = 0; p < of_thread; ++p) {
      scores[p] = p < visible ? weight_of(scores[p], top) : 0.f;
      sum += scores[p];
    }
    sum += gpu::shuffle_xor(sum, 1);
    sum += gpu::shuffle_xor(sum, 2);  // and all four have read what is now replaced
    if (thread() % 4 == 0) {
      correction_[row] = weight_of(before, top);
      largest_[row] = top;
      total_[row] = total_[row] * correction_[row] + sum;
    }
  }

  __device__ void add_values(float (&sums)[4][4]) const {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[r][i] *= correction_[own_row() + 8 * r];
      }
    }
#pragma unroll 1
    for (int position = 0; position < tile_positions; position += 4) {
      gpu::Pack<float> weights[4], values[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        weights[i] = gpu::load_pack(scores_ + (own_row() + 8 * i) * score_pitch + position);
        values[i] = gpu::load_pack(slice_ + (position + i) * slice_pitch + own_column() * 4);
      }
#pragma unroll
      for (int r = 0; r < 4; ++r) {
#pragma unroll
        for (int p = 0; p < 4; ++p) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sums[r][i] += weights[r][p] * values[p][i];
          }
        }
      }
    }
  }

  // Slice by slice through shared memory, so that a warp writes columns that lie next to each other.
  __device__ void put(int split) {
    for (int slice = 0; slice < slices_; ++slice) {
      __syncthreads();  // the slice before has been written
#pragma unroll
      for (int own = 0; own < max_slices; ++own) {
        if (own == slice) {
          stage(sums_[own]);
        }
      }
      __syncthreads();
      for (int item = thread(); item < count_ * slice_columns; item += threads) {
        const int row = item / slice_columns, column = item % slice_columns;
        if (slice * slice_columns + column < problem_.width) {
          problem_.put(split, problem_.row_of(kv_head_, first_row_ + row), slice * slice_columns + column,
                       slice_[row * slice_pitch + column], largest_[row], total_[row]);
        }
      }
    }
  }

  __device__ void stage(const float (&sums)[4][4]) const {
    static_assert(tile_rows <= tile_positions, "a slice has room for the rows of a tile");
#pragma unroll
    for (int r = 0; r < 4; ++r) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        slice_[(own_row() + 8 * r) * slice_pitch + own_column() * 4 + i] = sums[r][i];
      }
    }
  }

  const Problem<T>& problem_;
  int kv_head_, first_row_, count_, slices_, begin_, end_;
  float *queries_, *slice_, *scores_, *largest_, *total_, *correction_;  // in shared memory
  gpu::Eight<T> carried_[carried_eights];
  float sums_[max_slices][4][4] = {};
};

// blocks: (splits, kv_heads, rows of a key head / tile_rows). The last rows see the most positions: they are begun
// first.
template <class T>
__global__ void __launch_bounds__(threads, blocks_at_once) kernel(Problem<T> problem) {
  const int tile = static_cast<int>(gridDim.z - 1 - blockIdx.z);
  Block<T>(problem, tile * tile_rows).run(static_cast<int>(blockIdx.x));
}

template <class T>
void run(const lh_call& call, const Problem<T>& problem) {
  gpu::launch(call, kernel<T>,
              {static_cast<unsigned>(problem.splits), static_cast<unsigned>(problem.kv_heads),
               gpu::blocks_for(problem.rows_of_key(), tile_rows)},
              threads, shared_bytes(problem.width), problem);
}

}  // namespace layerhub::attention::prefill
