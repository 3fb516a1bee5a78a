// SPDX-License-Identifier: Apache-2.0
// The norms on CUDA and HIP: how rows are given to threads, and the forward of all of them.
//
// Bound by memory: a row is read once, in packs of 16 bytes, kept in registers while its sums are made, and written. A
// row belongs to a team: a few threads of a warp for short rows, so that a block has many of them and needs no barrier;
// else a block. A team's size follows from the width alone, and so does the order of its sums: the bits of a row do not
// depend on how many others there are. Rows too wide for the registers are read again for each sum, most likely from
// the second level cache; so are those whose packs would not be aligned, element by element.
//
// Teams within a warp have at most 32 threads, so that nothing is different where a warp has 64.
#pragma once

#include <layerhub/sdk/gpu.hpp>

#include <algorithm>

namespace layerhub::norm {

using namespace layerhub::sdk;

// The threads that share a row, and its items: packs, or elements.
struct Team {
  int size, thread;
  std::int64_t items;

  static constexpr int most_of_warp = 32;  // beyond, a team is a block

  // Every thread of the block calls it.
  __device__ float sum(float value) const {
    if (size > most_of_warp) {
      return gpu::block_sum(value);
    }
    for (int distance = size / 2; distance > 0; distance /= 2) {
      value += gpu::shuffle_xor(value, distance);
    }
    return value;
  }

  // Runs body(k, column) for each of this thread's items, where k counts them. held: how many there are at most; 0: any
  // number.
  template <int step, int held, class Body>
  __device__ void for_each(Body&& body) const {
    if constexpr (held > 0) {
#pragma unroll
      for (int k = 0; k < held; ++k) {
        const std::int64_t item = thread + k * size;
        if (item < items) {
          body(k, item * step);
        }
      }
    } else {
      for (std::int64_t item = thread; item < items; item += size) {
        body(0, item * step);
      }
    }
  }
};

// A row as a thread sees it: its items in registers where `held` says how many there are, else in memory.
template <class T, int step, int held>
class Line {
 public:
  __device__ Line(const T* from, const Team& team) : from_(from) {
    if constexpr (held > 0) {
      team.for_each<step, held>(
          [&](int k, std::int64_t column) { packs_[k] = gpu::load_pack<step>(from + column); });
    }
  }
  __device__ void load(int k, std::int64_t column, float (&to)[step]) const {
    const gpu::Pack<T, step> pack = held > 0 ? packs_[k] : gpu::load_pack<step>(from_ + column);
#pragma unroll
    for (int i = 0; i < step; ++i) {
      to[i] = gpu::widen(pack[i]);
    }
  }

 private:
  const T* from_;
  gpu::Pack<T, step> packs_[held > 0 ? held : 1];
};

enum class Form { rms, residual_rms, layer };

template <class T>
struct Operands {
  gpu::Rows<const T> x, residual;
  gpu::Rows<T> y, new_residual;
  gpu::AnyFloats weight, bias;
  std::int64_t rows, width;
  float epsilon;
  int team;
};

// step: elements of an item. y = (x - mean) scale weight + bias, without mean and bias but for the layer norm; of
// x + residual, which is kept, for the residual one: not yet rounded.
template <Form form, class T, int step, int held>
__global__ void __launch_bounds__(1024) normalize(Operands<T> o) {
  const int teams = static_cast<int>(blockDim.x) / o.team;
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * teams + threadIdx.x / o.team;
  const bool is_there = index < o.rows;
  const std::int64_t row = is_there ? index : 0;
  const Team team{o.team, static_cast<int>(threadIdx.x) % o.team, is_there ? o.width / step : 0};
  const Line<T, step, held> x(o.x.at(row), team);
  const Line<T, step, form == Form::residual_rms ? held : 0> residual(o.residual.at(row), team);
  const auto load = [&](int k, std::int64_t column, float(&to)[step]) {
    x.load(k, column, to);
    if constexpr (form == Form::residual_rms) {
      float more[step];
      residual.load(k, column, more);
#pragma unroll
      for (int i = 0; i < step; ++i) {
        to[i] += more[i];
      }
    }
  };

  float mean = 0;
  if constexpr (form == Form::layer) {
    float sum = 0;
    team.for_each<step, held>([&](int k, std::int64_t column) {
      float values[step];
      load(k, column, values);
#pragma unroll
      for (int i = 0; i < step; ++i) {
        sum += values[i];
      }
    });
    mean = team.sum(sum) / static_cast<float>(o.width);
  }
  float squares = 0;
  team.for_each<step, held>([&](int k, std::int64_t column) {
    float values[step];
    load(k, column, values);
#pragma unroll
    for (int i = 0; i < step; ++i) {
      squares += (values[i] - mean) * (values[i] - mean);
    }
  });
  const float scale = rsqrtf(team.sum(squares) / static_cast<float>(o.width) + o.epsilon);

  T* y = o.y.at(row);
  T* new_residual = form == Form::residual_rms ? o.new_residual.at(row) : nullptr;
  team.for_each<step, held>([&](int k, std::int64_t column) {
    float values[step], weight[step], bias[step] = {};
    load(k, column, values);
    o.weight.load(column, weight);
    if (form == Form::layer && o.bias.data != nullptr) {
      o.bias.load(column, bias);
    }
    if constexpr (form == Form::residual_rms) {
      gpu::store_pack(new_residual + column, gpu::narrow_pack<T>(values));
    }
#pragma unroll
    for (int i = 0; i < step; ++i) {
      values[i] = (values[i] - mean) * scale * weight[i] + bias[i];
    }
    gpu::store_pack(y + column, gpu::narrow_pack<T>(values));
  });
}

// ---- The host's side ----

inline constexpr int threads = 256;  // of a block with several teams, or of one that reads rows again

// The size of a team whose threads have up to `held` of these items: the least power of two from `least` on, and beyond
// a warp the least multiple of the widest warp.
inline int team_for(std::int64_t items, int held, int least = 1) {
  const std::int64_t wanted = (items + held - 1) / held;
  if (wanted > Team::most_of_warp) {
    return static_cast<int>((wanted + gpu::largest_warp - 1) / gpu::largest_warp * gpu::largest_warp);
  }
  int size = least;
  while (size < wanted) {
    size *= 2;
  }
  return size;
}
inline int block_for(int team) { return team > Team::most_of_warp ? team : threads; }

// What every form has.
template <class T>
Operands<T> operands(const DLTensor& x, const DLTensor& y, const DLTensor& weight, float epsilon) {
  Operands<T> o{};
  o.x = gpu::rows_of<const T>(x);
  o.y = gpu::rows_of<T>(y);
  o.weight = gpu::AnyFloats(&weight);
  o.rows = row_count(x);
  o.width = last_dim(x);
  o.epsilon = epsilon;
  return o;
}

template <Form form, class T, int step, int held>
void launch(const lh_call& call, Operands<T>& o, int team) {
  o.team = team;
  const int block = block_for(team);
  gpu::launch(call, normalize<form, T, step, held>, gpu::blocks_for(o.rows, block / team), block, 0, o);
}

template <Form form, class T>
void run(const lh_call& call, Operands<T> o) {
  constexpr int step = gpu::vector_width<T>, held = form == Form::residual_rms ? 2 : 4;  // packs: 64 bytes of a thread
  bool takes_packs = o.weight.takes_packs() && o.bias.takes_packs() && o.x.takes_packs(o.width) &&
                     o.y.takes_packs(o.width);
  if (form == Form::residual_rms) {
    takes_packs = takes_packs && o.residual.takes_packs(o.width) && o.new_residual.takes_packs(o.width);
  }
  if (o.width == 0) {
    return;
  }
  const int team = team_for(o.width / step, held);
  if (!takes_packs) {
    launch<form, T, 1, 0>(call, o, o.width <= 8 * Team::most_of_warp ? team_for(o.width, 8) : threads);
  } else if (team > 1024) {
    launch<form, T, step, 0>(call, o, threads);
  } else {
    launch<form, T, step, held>(call, o, team);
  }
}

}  // namespace layerhub::norm
