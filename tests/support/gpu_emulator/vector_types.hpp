// SPDX-License-Identifier: Apache-2.0
// The small types that CUDA C++ and HIP know without an include: sizes, indices and short vectors with the alignment
// that their 64- and 128-bit accesses need.
#pragma once

#include <cstdint>

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#define LAYERHUB_SHORT_VECTORS(Element, name)                            \
  struct alignas(2 * sizeof(Element)) name##2 {                          \
    Element x, y;                                                        \
  };                                                                     \
  struct alignas(4 * sizeof(Element)) name##4 {                          \
    Element x, y, z, w;                                                  \
  };                                                                     \
  inline name##2 make_##name##2(Element x, Element y) { return {x, y}; } \
  inline name##4 make_##name##4(Element x, Element y, Element z, Element w) { return {x, y, z, w}; }

LAYERHUB_SHORT_VECTORS(signed char, char)
LAYERHUB_SHORT_VECTORS(unsigned char, uchar)
LAYERHUB_SHORT_VECTORS(short, short)
LAYERHUB_SHORT_VECTORS(unsigned short, ushort)
LAYERHUB_SHORT_VECTORS(int, int)
LAYERHUB_SHORT_VECTORS(unsigned, uint)
LAYERHUB_SHORT_VECTORS(float, float)
#undef LAYERHUB_SHORT_VECTORS
