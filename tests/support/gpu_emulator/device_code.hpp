// SPDX-License-Identifier: Apache-2.0
// The part of CUDA C++ and HIP that is the same for both and that kernels of this project use, as plain C++:
// qualifiers, indices, barriers, arithmetic. What is missing here is not used; extend it when a kernel needs more.
//
// Shared memory is thread_local: one thread of the host runs a whole block, so each library's thread-local block is the
// shared memory of the kernels in it, and the emulator can spoil it from end to end before every block.
#pragma once

#include "meeting.hpp"

#include <cmath>

#define __host__
#define __device__
#define __global__
#define __shared__ thread_local
#define __launch_bounds__(...)

namespace layerhub::gpu_emulator {

// What a lane brings to a shuffle.
template <class T>
struct Shuffled {
  T value;
  unsigned source;
  Place place;
};

template <class T>
void shuffle(void* const* brought, unsigned lanes) {
  T taken[64];
  for (unsigned lane = 0; lane < lanes; ++lane) {
    if (brought[lane] != nullptr) {
      const auto& mine = *static_cast<const Shuffled<T>*>(brought[lane]);
      if (brought[mine.source] == nullptr) {
        fail("a shuffle reads a lane that does not take part in it", mine.place.file_name(), mine.place.line());
      }
      taken[lane] = static_cast<const Shuffled<T>*>(brought[mine.source])->value;
    }
  }
  for (unsigned lane = 0; lane < lanes; ++lane) {
    if (brought[lane] != nullptr) {
      static_cast<Shuffled<T>*>(brought[lane])->value = taken[lane];
    }
  }
}

template <class T>
T shuffle_from(std::uint64_t mask, T value, unsigned source, Place place) {
  Shuffled<T> mine{value, source, place};
  meet(mask, &mine, &shuffle<T>, place);
  return mine.value;
}

// The rules of the three shuffles: segments of `width` lanes; a source outside of the segment is the lane itself.
inline unsigned source_of_index(int index, int width) {
  return lane_index() / width * width + static_cast<unsigned>(index) % width;
}
inline unsigned source_of_xor(int bits, int width) {
  const unsigned lane = lane_index(), source = lane ^ static_cast<unsigned>(bits);
  return source < (lane / width + 1) * width ? source : lane;
}
inline unsigned source_of_down(unsigned delta, int width) {
  const unsigned lane = lane_index();
  return lane % width + delta < static_cast<unsigned>(width) ? lane + delta : lane;
}

inline constexpr std::uint64_t all_lanes = ~std::uint64_t{0};

}  // namespace layerhub::gpu_emulator

// ---- Barriers ----

inline void __syncthreads(std::source_location place = std::source_location::current()) {
  layerhub::gpu_emulator::sync_threads(place);
}

// ---- Memory ----

// One thread of the host runs all threads of a device, and switches between them only where they wait.
template <class T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to = before + value;
  return before;
}

// ---- Arithmetic ----

inline float rsqrtf(float x) { return 1.f / std::sqrt(x); }

template <class T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
