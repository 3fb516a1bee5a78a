// SPDX-License-Identifier: Apache-2.0
// Attention of many query rows, with an online softmax over tiles of positions: nothing of the size of the score matrix
// is ever kept.
//
// A block has 32 query rows in shared memory and walks over the positions, a tile at a time, in slices of 64 columns:
// the keys' slices give the scores, then the values' slices are added to the sums in registers, and while a slice is
// multiplied the loads of the next one are under way.
#pragma once

#include "prefill_products.gpu.inl.hpp"

namespace layerhub::attention::prefill {

constexpr int blocks_at_once = 3;   // of a multiprocessor, which their registers allow
constexpr int step_positions = 64;  // splits begin at multiples of it, whatever the tiles are
constexpr int max_slices = max_width / slice_columns;

__host__ __device__ constexpr int slices_of(int width) { return (width + slice_columns - 1) / slice_columns; }
template <class E>
__host__ __device__ constexpr int query_pitch(int width) {
  return slices_of(width) * slice_columns + gpu::vector_width<E>;
}

// Where the parts of the dynamic shared memory begin, in bytes. The weights of floats take the scores' place. Results
// go where nothing is needed any more: floats where the slice was, the matrix units' where the scores were.
template <class E>
struct Shared {
  static constexpr bool is_float = std::is_same_v<E, float>;
  __host__ __device__ explicit constexpr Shared(int width)
      : slice(tile_rows * query_pitch<E>(width) * static_cast<int>(sizeof(E))),
        scores(slice + tile_positions<E> * slice_pitch<E> * static_cast<int>(sizeof(E))),
        weights(is_float ? scores : scores + score_bytes),
        statistics(weights + (is_float ? score_bytes : weight_bytes)),
        results(is_float ? slice : scores),
        bytes(statistics + 3 * tile_rows * static_cast<int>(sizeof(float))) {}

  static constexpr int score_bytes = tile_rows * score_pitch<E> * static_cast<int>(sizeof(float));
  static constexpr int weight_bytes = tile_rows * weight_pitch<E> * static_cast<int>(sizeof(E));
  static_assert(is_float ? tile_rows <= tile_positions<E> : result_pitch <= score_pitch<E>, "results have room");
  int slice, scores, weights, statistics, results, bytes;
};

// E: what tiles hold of the caches' T, see prefill_products.
template <class T, class E>
class Block {
 public:
  __device__ Block(const Problem<T>& problem, int first_row)
      : problem_(problem), kv_head_(static_cast<int>(blockIdx.y)), first_row_(first_row) {
    count_ = min(tile_rows, problem.rows_of_key() - first_row);
    slices_ = slices_of(problem.width);
    const Shared<E> shared(problem.width);
    char* memory = gpu::dynamic_shared<char>();
    queries_ = reinterpret_cast<E*>(memory);
    slice_ = reinterpret_cast<E*>(memory + shared.slice);
    scores_ = reinterpret_cast<float*>(memory + shared.scores);
    weights_ = reinterpret_cast<E*>(memory + shared.weights);
    results_ = reinterpret_cast<float*>(memory + shared.results);
    largest_ = reinterpret_cast<float*>(memory + shared.statistics);
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
    for (int position = begin_; position < end_; position += tile_positions<E>) {
      add_tile(position);
    }
    put(split);
  }

 private:
  using Products = typename ProductsOf<E>::Type;
  static constexpr int carried_eights = tile_positions<E> * slice_columns / 8 / threads;

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
        queries_[row * query_pitch<E>(problem_.width) + column + i] = gpu::narrow<E>(values[i]);
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
      E* to = slice_ + item / (slice_columns / 8) * slice_pitch<E> + item % (slice_columns / 8) * 8;
      if constexpr (std::is_same_v<E, T>) {
        gpu::store_eight(to, carried_[i], 8, true);
      } else {
        gpu::widen(carried_[i], *reinterpret_cast<float(*)[8]>(to));
      }
    }
    __syncthreads();
    if (slice + 1 < 2 * slices_) {
      carry(position, slice + 1);
    } else if (position + tile_positions<E> < end_) {
      carry(position + tile_positions<E>, 0);
    }
  }

  __device__ void add_tile(int position) {
    Products products;
    for (int slice = 0; slice < slices_; ++slice) {
      take_slice(position, slice);
      products.add_scores(queries_ + slice * slice_columns, query_pitch<E>(problem_.width), slice_);
    }
    products.store_scores(scores_);
    __syncthreads();
    weigh(position);
#pragma unroll
    for (int slice = 0; slice < max_slices; ++slice) {
      if (slice < slices_) {
        take_slice(position, slices_ + slice);  // and all weights are there
        correct(sums_[slice]);
        Products::add_values(weights_, slice_, results_, sums_[slice]);
      }
    }
  }

  // Four threads for each row: scores become weights, and the row's largest score and sum move on.
  __device__ void weigh(int position) {
    constexpr int of_thread = tile_positions<E> / 4;
    const int row = thread() / 4, first = thread() % 4 * of_thread;
    const float* scores = scores_ + row * score_pitch<E> + first;
    E* weights = weights_ + row * weight_pitch<E> + first;
    const int visible = min(end_, seen(min(row, count_ - 1))) - position - first;
    const float before = largest_[row];
    float top = before, sum = 0;
#pragma unroll
    for (int p = 0; p < of_thread; ++p) {
      top = fmaxf(top, p < visible ? scores[p] * problem_.scale : minus_infinity);
    }
    top = fmaxf(top, gpu::shuffle_xor(top, 1));
    top = fmaxf(top, gpu::shuffle_xor(top, 2));
#pragma unroll
    for (int p = 0; p < of_thread; ++p) {
      weights[p] = gpu::narrow<E>(p < visible ? weight_of(scores[p] * problem_.scale, top) : 0.f);
      sum += gpu::widen(weights[p]);  // as it is multiplied
    }
    sum += gpu::shuffle_xor(sum, 1);
    sum += gpu::shuffle_xor(sum, 2);  // and all four have read what is now replaced
    if (thread() % 4 == 0) {
      correction_[row] = weight_of(before, top);
      largest_[row] = top;
      total_[row] = total_[row] * correction_[row] + sum;
    }
  }

  __device__ void correct(float (&sums)[4][4]) const {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[r][i] *= correction_[own_row() + 8 * r];
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
                       results_[row * result_pitch + column], largest_[row], total_[row]);
        }
      }
    }
  }

  __device__ void stage(const float (&sums)[4][4]) const {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        results_[(own_row() + 8 * r) * result_pitch + own_column() * 4 + i] = sums[r][i];
      }
    }
  }

  const Problem<T>& problem_;
  int kv_head_, first_row_, count_, slices_, begin_, end_;
  E *queries_, *slice_, *weights_;  // in shared memory, as the next
  float *scores_, *results_, *largest_, *total_, *correction_;
  gpu::Eight<T> carried_[carried_eights];
  float sums_[max_slices][4][4] = {};
};

// blocks: (splits, kv_heads, rows of a key head / tile_rows). The last rows see the most positions: they are begun
// first.
template <class T, class E>
__global__ void __launch_bounds__(threads, blocks_at_once) kernel(Problem<T> problem) {
  const int tile = static_cast<int>(gridDim.z - 1 - blockIdx.z);
  Block<T, E>(problem, tile * tile_rows).run(static_cast<int>(blockIdx.x));
}

template <class E, class T>
void launch(const lh_call& call, const Problem<T>& problem) {
  static_assert(Shared<E>(max_width).bytes <= 48 * 1024, "what a launch may have without asking for more");
  gpu::launch(call, kernel<T, E>,
              {static_cast<unsigned>(problem.splits), static_cast<unsigned>(problem.kv_heads),
               gpu::blocks_for(problem.rows_of_key(), tile_rows)},
              threads, static_cast<std::size_t>(Shared<E>(problem.width).bytes), problem);
}

template <class T>
void run(const lh_call& call, const Problem<T>& problem) {
  if constexpr (LAYERHUB_GPU_MATRIX_UNITS != 0 && !std::is_same_v<T, float>) {
    if (problem.q.type == (std::is_same_v<T, float16> ? gpu::FloatType::f16 : gpu::FloatType::bf16)) {
      return launch<T>(call, problem);
    }
  }
  launch<float>(call, problem);
}

}  // namespace layerhub::attention::prefill
