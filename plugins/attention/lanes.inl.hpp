// SPDX-License-Identifier: Apache-2.0
// What attention does across the lanes of vectors: many sums at once, a transposition, one number of all lanes.
//
// All of it is built from one exchange of two vectors, whose lanes are taken as blocks of `step`: the odd blocks of
// the first change places with the even blocks of the second. log2(lanes) rounds of it transpose a square of vectors;
// adding what was exchanged to what was not, in each round, leaves one vector with the sum of each row: one shuffle for
// each sum, not log2(lanes) of them.
#pragma once

#include <layerhub/sdk/vector.hpp>

namespace layerhub::attention {

using namespace layerhub::sdk;

// Even blocks: those of a, odd blocks: those of b.
template <int step>
Floats alternated(Floats a, Floats b) {
  return shuffled<[](int i) { return (i & step) == 0 ? i : lanes + i; }>(a, b);
}

// Even blocks: the odd ones of a; odd blocks: the even ones of b.
template <int step>
Floats exchanged(Floats a, Floats b) {
  return shuffled<[](int i) { return (i & step) == 0 ? i + step : lanes + i - step; }>(a, b);
}

// rows[i], lane j <-> rows[j], lane i
template <int step = lanes / 2>
void transpose(Floats (&rows)[lanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) {
    if ((i & step) == 0) {
      const Floats moved = exchanged<step>(rows[i], rows[i + step]);
      rows[i] = alternated<step>(rows[i], moved);
      rows[i + step] = alternated<step>(moved, rows[i + step]);
    }
  }
  if constexpr (step > 1) {
    transpose<step / 2>(rows);
  }
}

// Lane i: the sum of rows[i].
template <int step = lanes / 2>
Floats sums_of(const Floats* rows) {
  Floats sums[step];
#pragma GCC unroll 16
  for (int i = 0; i < step; ++i) {
    sums[i] = alternated<step>(rows[i], rows[i + step]) + exchanged<step>(rows[i], rows[i + step]);
  }
  if constexpr (step > 1) {
    return sums_of<step / 2>(sums);
  } else {
    return sums[0];
  }
}

// One number of all lanes: `combined` takes two vectors.
template <int step = lanes / 2, class Combined>
float of_lanes(Floats v, Combined combined) {
  v = combined(v, exchanged<step>(v, v));
  if constexpr (step > 1) {
    return of_lanes<step / 2>(v, combined);
  } else {
    return v[0];
  }
}
inline float largest_lane(Floats v) { return of_lanes(v, larger); }
inline float sum_of_lanes(Floats v) {
  return of_lanes(v, [](Floats a, Floats b) { return a + b; });
}

// v where the lane's index is below count, else `other`.
inline Floats below(std::int64_t count, Floats v, Floats other) {
  Integers index;
  for (int i = 0; i < lanes; ++i) {
    index[i] = i;
  }
  return index < static_cast<std::int32_t>(count) ? v : other;
}

}  // namespace layerhub::attention
