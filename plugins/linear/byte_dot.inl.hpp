// SPDX-License-Identifier: Apache-2.0
// Sums of products of four bytes per lane, with the best instruction that this unit is compiled for.
//
// A lane is a row of the weight: 64 bytes are four consecutive elements of 16 rows. `Bytes` is as much of that as
// fits a register; an activation is four bytes in every lane. vpdpbusd does the whole in one instruction; without
// it vpmaddubsw adds pairs in 16 bits, which 4-bit weights can't overflow (15 * 127 * 2 = 3810), and 8-bit ones
// are widened instead.
#pragma once

#include <layerhub/sdk/vector.hpp>

#include <cstdint>
#include <cstring>

namespace {

using namespace layerhub::sdk;

using Bytes [[gnu::vector_size(vector_bytes)]] = std::uint8_t;
using Shorts [[gnu::vector_size(vector_bytes)]] = std::int16_t;

inline Bytes load_bytes(const std::uint8_t* from) {
  Bytes v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// The same four bytes in every lane.
inline Bytes four_in_all(const std::int8_t* from) {
  std::int32_t four;
  std::memcpy(&four, from, sizeof four);
  return reinterpret_cast<Bytes>(Integers{} + four);
}

inline Bytes low_nibbles(Bytes v) { return v & 15; }
inline Bytes high_nibbles(Bytes v) { return reinterpret_cast<Bytes>(reinterpret_cast<Bits>(v) >> 4) & 15; }

#if defined(__AVX512VNNI__)
#define LAYERHUB_HAS_VNNI 1
inline Integers dpbusd(Integers sum, Bytes w, Bytes a) {
  return reinterpret_cast<Integers>(
      _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(a)));
}
#elif defined(__AVXVNNI__)
#define LAYERHUB_HAS_VNNI 1
inline Integers dpbusd(Integers sum, Bytes w, Bytes a) {
  return reinterpret_cast<Integers>(_mm256_dpbusd_avx_epi32(
      reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(a)));
}
#endif

#if !defined(LAYERHUB_HAS_VNNI)
inline Shorts multiply_add_bytes(Bytes w, Bytes a) {
#if defined(LAYERHUB_VECTOR_AVX512)
  return reinterpret_cast<Shorts>(_mm512_maddubs_epi16(reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(a)));
#elif defined(__AVX2__)
  return reinterpret_cast<Shorts>(_mm256_maddubs_epi16(reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(a)));
#else
  return reinterpret_cast<Shorts>(_mm_maddubs_epi16(reinterpret_cast<__m128i>(w), reinterpret_cast<__m128i>(a)));
#endif
}
inline Integers multiply_add_shorts(Shorts a, Shorts b) {
#if defined(LAYERHUB_VECTOR_AVX512)
  return reinterpret_cast<Integers>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<Integers>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
  return reinterpret_cast<Integers>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#endif
}
#endif

// The products of one block's 32 elements for the rows of one register. w(q): the bytes of elements 4q to 4q+3.
template <class Weights>
inline Integers dot_nibbles(const Weights& w, const std::int8_t* a) {
#if defined(LAYERHUB_HAS_VNNI)
  Integers sums[2] = {};
  for (int q = 0; q < 8; ++q) {
    sums[q % 2] = dpbusd(sums[q % 2], w[q], four_in_all(a + 4 * q));
  }
  return sums[0] + sums[1];
#else
  Shorts sum{};  // eight times 3810 fit in 16 bits
  for (int q = 0; q < 8; ++q) {
    sum += multiply_add_bytes(w[q], four_in_all(a + 4 * q));
  }
  return multiply_add_shorts(sum, Shorts{} + 1);
#endif
}

// The same for signed bytes. sum_of_a: the sum of the block's activations.
template <class Weights>
inline Integers dot_bytes(const Weights& w, const std::int8_t* a, std::int32_t sum_of_a) {
#if defined(LAYERHUB_HAS_VNNI)
  Integers sums[2] = {Integers{} - 128 * sum_of_a, {}};  // the weights' sign is turned into an offset of 128
  for (int q = 0; q < 8; ++q) {
    sums[q % 2] = dpbusd(sums[q % 2], w[q] ^ 128, four_in_all(a + 4 * q));
  }
  return sums[0] + sums[1];
#else
  (void)sum_of_a;
  Integers sum{};
  for (int q = 0; q < 8; ++q) {
    const auto weights = reinterpret_cast<Shorts>(w[q]);
    const auto activations = reinterpret_cast<Shorts>(four_in_all(a + 4 * q));
    sum += multiply_add_shorts(static_cast<Shorts>(weights << 8) >> 8, static_cast<Shorts>(activations << 8) >> 8);
    sum += multiply_add_shorts(weights >> 8, activations >> 8);
  }
  return sum;
#endif
}

}  // namespace
