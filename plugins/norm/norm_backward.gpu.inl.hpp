// SPDX-License-Identifier: Apache-2.0
// Backward of RMSNorm and LayerNorm on CUDA and HIP: x and grad_y are read once, for all gradients.
//
// With s = rsqrt(var + epsilon), z = (x - mean) s and means over the row; RMSNorm has neither of the two means:
//   grad_x = s (w grad_y - mean(w grad_y) - z mean(z w grad_y))                       row by row
//   grad_w = sum over the rows of z grad_y, grad_b = sum over the rows of grad_y      column by column
//
// The sums over rows have one order. As many blocks as the device runs at once share out the rows by their number; each
// adds up its own, a thread its own columns in registers, and writes one partial row into the workspace, and a second
// kernel adds those up. The order depends on the shape and on the device's size, and on nothing that happens meanwhile.
#pragma once

#include "norm.gpu.inl.hpp"

namespace layerhub::norm {

// What a thread holds of x, and of each sum over rows: 16 elements.
inline constexpr int held_elements = 16;
inline constexpr int most_of_block = 512;  // threads: they have 128 registers each then
inline constexpr int least_team = 8;       // so that a block has at most 32 partial rows to join

template <class T>
struct BackwardOperands {
  gpu::Rows<const T> x, grad_y;
  gpu::Rows<T> grad_x;  // without data: not wanted
  gpu::AnyFloats weight;
  std::int64_t rows, width;
  float epsilon;
  int team;
  bool stores_packs;   // grad_x is written in packs
  float* weight_sums;  // [blocks, width]; NULL: not wanted
  float* bias_sums;
};

// Adds the sums of a block's teams, in their order, and writes them as the block's partial row.
template <int step, int held>
__device__ void write_sums(const Team& team, const float (&sums)[held][step], float* to) {
  if (team.size > Team::most_of_warp) {
    team.for_each<step, held>([&](int k, std::int64_t column) {
#pragma unroll
      for (int i = 0; i < step; ++i) {
        to[column + i] = sums[k][i];
      }
    });
    return;
  }
  __shared__ float joined[Team::most_of_warp * held * step];
  const int teams = static_cast<int>(blockDim.x) / team.size, own = static_cast<int>(threadIdx.x) / team.size;
  for (int turn = 0; turn < teams; ++turn) {
    if (turn == own) {
      team.for_each<step, held>([&](int k, std::int64_t column) {
#pragma unroll
        for (int i = 0; i < step; ++i) {
          joined[column + i] = turn == 0 ? sums[k][i] : joined[column + i] + sums[k][i];
          if (turn == teams - 1) {
            to[column + i] = joined[column + i];
          }
        }
      });
    }
    __syncthreads();
  }
}

template <class T, int step>
__device__ void store_row(T* to, const gpu::Pack<T, step>& pack, bool at_once) {
  if (at_once) {
    gpu::store_pack(to, pack);
    return;
  }
#pragma unroll
  for (int i = 0; i < step; ++i) {
    to[i] = pack[i];
  }
}

// held: items of a thread; 0: a block reads its rows again, and its sums over rows stand in its partial row.
template <Form form, class T, int step, int held>
__global__ void __launch_bounds__(most_of_block) differentiate(BackwardOperands<T> o) {
  const int teams = static_cast<int>(blockDim.x) / o.team;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * teams;
  float weight_sums[held > 0 ? held : 1][step] = {}, bias_sums[held > 0 ? held : 1][step] = {};
  float* weight_row = o.weight_sums == nullptr ? nullptr : o.weight_sums + blockIdx.x * o.width;
  float* bias_row = o.bias_sums == nullptr ? nullptr : o.bias_sums + blockIdx.x * o.width;

  for (std::int64_t first = begin; first < o.rows; first += static_cast<std::int64_t>(gridDim.x) * teams) {
    const std::int64_t index = first + threadIdx.x / o.team;
    const std::int64_t row = index < o.rows ? index : 0;
    const Team team{o.team, static_cast<int>(threadIdx.x) % o.team, index < o.rows ? o.width / step : 0};
    const Line<T, step, held> x(o.x.at(row), team), grad_y(o.grad_y.at(row), team);
    // Runs body(k, column, x, grad_y, weight grad_y).
    const auto for_each = [&](auto&& body) {
      team.for_each<step, held>([&](int k, std::int64_t column) {
        float values[step], grads[step], weight[step];
        x.load(k, column, values);
        grad_y.load(k, column, grads);
        o.weight.load(column, weight);
#pragma unroll
        for (int i = 0; i < step; ++i) {
          weight[i] *= grads[i];
        }
        body(k, column, values, grads, weight);
      });
    };

    const float count = static_cast<float>(o.width);
    float mean = 0, shift = 0, squares = 0, product = 0;
    if constexpr (form == Form::layer) {
      for_each([&](int, std::int64_t, const float(&values)[step], const float(&)[step], const float(&weighted)[step]) {
#pragma unroll
        for (int i = 0; i < step; ++i) {
          mean += values[i];
          shift += weighted[i];
        }
      });
      mean = team.sum(mean) / count;
      shift = team.sum(shift) / count;
    }
    for_each([&](int, std::int64_t, const float(&values)[step], const float(&)[step], const float(&weighted)[step]) {
#pragma unroll
      for (int i = 0; i < step; ++i) {
        squares += (values[i] - mean) * (values[i] - mean);
        product += (values[i] - mean) * weighted[i];
      }
    });
    const float scale = rsqrtf(team.sum(squares) / count + o.epsilon);
    const float along_z = team.sum(product) * scale / count;

    T* grad_x = o.grad_x.data == nullptr ? nullptr : o.grad_x.at(row);
    for_each([&](int k, std::int64_t column, float(&values)[step], const float(&grads)[step], float(&weighted)[step]) {
#pragma unroll
      for (int i = 0; i < step; ++i) {
        const float z = (values[i] - mean) * scale;
        weighted[i] = (weighted[i] - shift - z * along_z) * scale;
        values[i] = z * grads[i];
        if constexpr (held > 0) {
          weight_sums[k][i] += values[i];
          bias_sums[k][i] += grads[i];
        } else {
          if (weight_row != nullptr) {
            weight_row[column + i] = first == begin ? values[i] : weight_row[column + i] + values[i];
          }
          if (bias_row != nullptr) {
            bias_row[column + i] = first == begin ? grads[i] : bias_row[column + i] + grads[i];
          }
        }
      }
      if (grad_x != nullptr) {
        store_row(grad_x + column, gpu::narrow_pack<T>(weighted), o.stores_packs);
      }
    });
  }
  if constexpr (held > 0) {
    const Team columns{o.team, static_cast<int>(threadIdx.x) % o.team, o.width / step};
    if (weight_row != nullptr) {
      write_sums(columns, weight_sums, weight_row);
    }
    if (form == Form::layer && bias_row != nullptr) {
      write_sums(columns, bias_sums, bias_row);
    }
  }
}

// grad[c] = the sum of the partial rows in column c. A block has 32 columns, and 8 threads for each.
inline constexpr int columns_of_block = 32;
template <class P>
__global__ void __launch_bounds__(threads)
    add_partial_rows(const float* partial, int rows, std::int64_t width, P* grad) {
  constexpr int shares = threads / columns_of_block;
  __shared__ float sums[shares][columns_of_block];
  const int share = static_cast<int>(threadIdx.x) / columns_of_block;
  const int place = static_cast<int>(threadIdx.x) % columns_of_block;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * columns_of_block + place;
  float sum = 0;
  if (column < width) {
    for (std::int64_t row = share; row < rows; row += shares) {
      sum += partial[row * width + column];
    }
  }
  sums[share][place] = sum;
  __syncthreads();
  if (share == 0 && column < width) {
    for (int i = 1; i < shares; ++i) {
      sum += sums[i][place];
    }
    grad[column] = gpu::narrow<P>(sum);
  }
}

// ---- The host's side ----

// How many blocks backward has, and what they need: known before a call, and the same for every alignment.
class BackwardBlocks {
 public:
  explicit BackwardBlocks(int ordinal) : multiprocessors_(gpu::multiprocessors(ordinal)) {}

  // For so many rows, with these teams: as many as there is work for, and 1024 threads of each multiprocessor have.
  unsigned count(std::int64_t rows, int team) const {
    const int block = block_for(team);
    return static_cast<unsigned>(
        std::min<std::int64_t>(gpu::blocks_for(rows, block / team), multiprocessors_ * (1024 / block)));
  }

  // Bytes for `sums` partial rows a block.
  std::size_t workspace(const lh_shape& x, int sums) const {
    const std::int64_t rows = row_count(x);
    const std::int64_t width = x.dim[x.ndim - 1];
    const int team = team_for(width, held_elements, least_team);
    unsigned most = count(rows, threads);
    if (team <= most_of_block) {
      most = std::max(most, count(rows, team));
    }
    return static_cast<std::size_t>(most) * static_cast<std::size_t>(width) * sizeof(float) *
           static_cast<std::size_t>(sums);
  }

 private:
  int multiprocessors_;
};

inline void add_partial_rows(const lh_call& call, const float* partial, unsigned rows, const DLTensor* grad) {
  if (grad != nullptr) {
    const std::int64_t width = last_dim(*grad);
    visit_float(grad->dtype, [&]<class P>() {
      gpu::launch(call, add_partial_rows<P>, gpu::blocks_for(width, columns_of_block), threads, 0, partial,
                  static_cast<int>(rows), width, data<P>(*grad));
    });
  }
}

// call.in and call.grad_in: hidden_states, weight and, of the layer norm, bias. Which kernel runs does not depend on
// what gradients are wanted, and so the bits of none depend on the others.
template <Form form>
void run_backward(const lh_call& call, float epsilon, const BackwardBlocks& blocks) {
  const DLTensor &x = *call.in[0], &grad_y = *call.grad_out[0];
  const DLTensor* grad_bias = form == Form::layer ? call.grad_in[2] : nullptr;
  visit_float(x.dtype, [&]<class T>() {
    constexpr int step = gpu::vector_width<T>, held = held_elements / step;
    BackwardOperands<T> o{};
    o.x = gpu::rows_of<const T>(x);
    o.grad_y = gpu::rows_of<const T>(grad_y);
    if (call.grad_in[0] != nullptr) {
      o.grad_x = gpu::rows_of<T>(*call.grad_in[0]);
    }
    o.weight = gpu::AnyFloats(call.in[1]);
    o.rows = row_count(x);
    o.width = last_dim(x);
    o.epsilon = epsilon;
    o.team = team_for(o.width, held_elements, least_team);
    const bool is_held = o.team <= most_of_block && o.weight.takes_packs() && o.x.takes_packs(o.width) &&
                         o.grad_y.takes_packs(o.width);
    o.team = is_held ? o.team : threads;
    o.stores_packs = o.grad_x.takes_packs(o.width);
    const unsigned count = o.width == 0 ? 0 : blocks.count(o.rows, o.team);
    auto* sums = static_cast<float*>(call.workspace);
    o.weight_sums = call.grad_in[1] == nullptr ? nullptr : sums;
    o.bias_sums = grad_bias == nullptr ? nullptr : sums + count * o.width;
    gpu::launch(call, is_held ? differentiate<form, T, step, held> : differentiate<form, T, 1, 0>, count,
                block_for(o.team), 0, o);
    add_partial_rows(call, sums, count, call.grad_in[1]);
    add_partial_rows(call, o.bias_sums, count, grad_bias);
  });
}

}  // namespace layerhub::norm
