// SPDX-License-Identifier: Apache-2.0
// The one kernel of all activations on CUDA and HIP: a formula, applied to each element of some tensors in step.
//
// Bound by memory. Every element is read once and written once, 16 bytes at a time, and a thread asks for several such
// packs before it computes with the first, so that a multiprocessor has some 100 KiB under way. Blocks are many and
// short: the last of them leave nothing idle for long. Where an element lies is found with products in place of
// divisions.
//
// A formula: its numbers of `inputs` and `outputs`, and apply(in, out) for one element.
#pragma once

#include <layerhub/sdk/gpu.hpp>

#include <algorithm>

namespace layerhub::activation {

using namespace layerhub::sdk;

inline constexpr int threads = 256;

// Items that a thread asks for before it computes: packs of 32 to 96 bytes together.
inline constexpr int most_items = 2;

// The elements of tensors of one shape, each with its own strides; rows are dense. Dimensions that lie behind each
// other as one in all of them are joined, so that dense tensors are one row.
//
// An item is as many elements of a row as a pack has, or what is left of it. Most often they stand side by side and are
// read and written at once, and apart_log is 0. Where rows do not begin at multiples of 16 bytes it is 5: 32 threads
// share out the elements of their items so that neighbours read neighbouring ones, and those of an item are 32 apart.
template <class T, int tensors>
struct Walk {
  T* data[tensors];
  std::int64_t width, items;
  int apart_log;
  int items_of_thread;
  gpu::Divisor items_of_row;
  int outer;  // dimensions of rows, from the inside
  gpu::Divisor extent[LH_MAX_RANK - 1];
  std::int64_t stride[LH_MAX_RANK - 1][tensors];

  struct Place {
    std::int64_t offset[tensors];
    int count;  // elements there
  };
  __device__ Place place(std::int64_t item) const {
    constexpr int step = gpu::vector_width<T>;
    auto [row, index] = items_of_row.divide(item);
    std::int64_t column = index * step;
    if (apart_log != 0) {
      const std::int64_t among = index % (1 << apart_log);
      column -= among * (step - 1);
    }
    Place place;
    place.count = step;
    if (column + ((step - 1) << apart_log) >= width) {
      const std::int64_t left = (width - column + (1 << apart_log) - 1) >> apart_log;
      place.count = left < 0 ? 0 : static_cast<int>(left);
    }
#pragma unroll
    for (int t = 0; t < tensors; ++t) {
      place.offset[t] = column;
    }
#pragma unroll 1
    for (int d = 0; d < outer; ++d) {
      const auto [next, i] = extent[d].divide(row);
      row = next;
#pragma unroll
      for (int t = 0; t < tensors; ++t) {
        place.offset[t] += i * stride[d][t];
      }
    }
    return place;
  }
};

template <class T>
__device__ gpu::Pack<T> load(const T* from, int count, int apart_log) {
  if (count == gpu::vector_width<T> && apart_log == 0) {
    return gpu::load_pack(from);
  }
  gpu::Pack<T> pack{};
#pragma unroll
  for (int i = 0; i < gpu::vector_width<T>; ++i) {
    if (i < count) {
      pack[i] = from[i << apart_log];
    }
  }
  return pack;
}
template <class T>
__device__ void store(T* to, const gpu::Pack<T>& pack, int count, int apart_log) {
  if (count == gpu::vector_width<T> && apart_log == 0) {
    gpu::store_pack(to, pack);
    return;
  }
#pragma unroll
  for (int i = 0; i < gpu::vector_width<T>; ++i) {
    if (i < count) {
      to[i << apart_log] = pack[i];
    }
  }
}

// Of the tensors the inputs come first. An output may be an input's own memory: what an item has is read by the thread
// that writes it, before.
template <class Formula, class T>
__global__ void __launch_bounds__(threads) elementwise(Walk<T, Formula::inputs + Formula::outputs> walk) {
  constexpr int inputs = Formula::inputs, outputs = Formula::outputs, step = gpu::vector_width<T>;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * threads * walk.items_of_thread + threadIdx.x;
  typename Walk<T, inputs + outputs>::Place places[most_items];
  gpu::Pack<T> in[most_items][inputs];
#pragma unroll
  for (int k = 0; k < most_items; ++k) {
    const std::int64_t item = first + k * threads;
    places[k].count = 0;
    if (k < walk.items_of_thread && item < walk.items) {
      places[k] = walk.place(item);
#pragma unroll
      for (int t = 0; t < inputs; ++t) {
        in[k][t] = load(walk.data[t] + places[k].offset[t], places[k].count, walk.apart_log);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < most_items; ++k) {
    float results[outputs][step];
#pragma unroll
    for (int i = 0; i < step; ++i) {
      float arguments[inputs], values[outputs];
#pragma unroll
      for (int t = 0; t < inputs; ++t) {
        arguments[t] = gpu::widen(in[k][t][i]);
      }
      Formula::apply(arguments, values);
#pragma unroll
      for (int t = 0; t < outputs; ++t) {
        results[t][i] = values[t];
      }
    }
#pragma unroll
    for (int t = 0; t < outputs; ++t) {
      store(walk.data[inputs + t] + places[k].offset[inputs + t], gpu::narrow_pack<T>(results[t]), places[k].count,
            walk.apart_log);
    }
  }
}

// ---- The host's side ----

// A tensor, and the column of it where the walk's rows begin: rows of a gated layer's input have two such columns.
struct Operand {
  const DLTensor* tensor;
  std::int64_t column = 0;
};

// The walk over the operands, whose shape is that of `shape` where they are no wider. Its items are left open.
template <class T, std::size_t tensors>
Walk<T, tensors> walk_over(const DLTensor& shape, const std::array<Operand, tensors>& operands) {
  Walk<T, tensors> walk{};
  std::int64_t extent[LH_MAX_RANK] = {last_dim(shape)}, stride[LH_MAX_RANK][tensors];
  std::fill_n(stride[0], tensors, 1);
  int outer = 0;
  for (int d = shape.ndim - 2; d >= 0; --d) {
    bool joins = true;
    for (std::size_t t = 0; t < tensors; ++t) {
      joins = joins && operands[t].tensor->strides[d] == stride[outer][t] * extent[outer];
    }
    if (joins) {
      extent[outer] *= shape.shape[d];
    } else if (shape.shape[d] != 1) {
      extent[++outer] = shape.shape[d];
      for (std::size_t t = 0; t < tensors; ++t) {
        stride[outer][t] = operands[t].tensor->strides[d];
      }
    }
  }
  walk.width = extent[0];
  walk.outer = outer;
  for (int d = 0; d < outer; ++d) {
    walk.extent[d] = gpu::Divisor(std::max<std::int64_t>(extent[d + 1], 1));
    std::copy_n(stride[d + 1], tensors, walk.stride[d]);
  }
  for (std::size_t t = 0; t < tensors; ++t) {
    walk.data[t] = data<T>(*operands[t].tensor) + operands[t].column;
  }
  return walk;
}

// Whether every row of every tensor begins at a multiple of 16 bytes.
template <class T, int tensors>
bool takes_packs(const Walk<T, tensors>& walk) {
  bool fits = true;
  for (int t = 0; t < tensors; ++t) {
    fits = fits && reinterpret_cast<std::uintptr_t>(walk.data[t]) % 16 == 0;
    for (int d = 0; d < walk.outer; ++d) {
      fits = fits && walk.stride[d][t] % gpu::vector_width<T> == 0;
    }
  }
  return fits;
}

// Applies the formula to the operands, inputs first. `shape`: one of them that has an element for each application.
template <class Formula>
void apply(const lh_call& call, const DLTensor& shape,
           const std::array<Operand, Formula::inputs + Formula::outputs>& operands) {
  constexpr std::int64_t resident_threads = 2048;  // of a multiprocessor
  visit_float(shape.dtype, [&]<class T>() {
    auto walk = walk_over<T>(shape, operands);
    walk.apart_log = takes_packs(walk) ? 0 : 5;
    const std::int64_t sharing = 1 << walk.apart_log, chunk = gpu::vector_width<T> * sharing;
    const std::int64_t of_row = std::max<std::int64_t>((walk.width + chunk - 1) / chunk, 1) * sharing;
    walk.items_of_row = gpu::Divisor(of_row);
    walk.items = walk.width == 0 ? 0 : element_count(shape) / walk.width * of_row;
    const std::int64_t resident = resident_threads * gpu::multiprocessors(call.device.device_id);
    walk.items_of_thread = walk.items >= most_items * resident ? most_items : 1;  // few are spread over all of it
    gpu::launch(call, elementwise<Formula, T>, gpu::blocks_for(walk.items, threads * walk.items_of_thread), threads, 0,
                walk);
  });
}

}  // namespace layerhub::activation
