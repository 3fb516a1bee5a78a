// SPDX-License-Identifier: Apache-2.0
// Sums of products of four bytes per lane, with the best instruction that this unit is compiled for.
//
// A lane is a row of the weight: a line is four consecutive elements of each row of a tile. `Bytes` is as much of that
// as fits a register; an activation is four bytes in every lane. vpdpbusd does four products and their sum at once.
// Without it vpmaddubsw adds pairs in 16 bits: 4-bit weights give at most 15 * 127 * 2 = 3810, so eight of them are
// added before they are widened once; signed bytes give 128 * 127 * 2 = 32512 at most and are widened one by one.
#pragma once

#include "vnni.hpp"

#include <layerhub/sdk/vector.hpp>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace {

using namespace layerhub::sdk;
using layerhub::linear::has_vnni;

using Bytes [[gnu::vector_size(vector_bytes)]] = std::uint8_t;
using Shorts [[gnu::vector_size(vector_bytes)]] = std::int16_t;

inline Bytes load_bytes(const std::uint8_t* from) {
  Bytes v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline void store_bytes(std::uint8_t* to, Bytes v) { std::memcpy(to, &v, sizeof v); }

// The same four bytes in every lane.
inline Bytes four_in_all(const std::int8_t* from) {
  std::int32_t four;
  std::memcpy(&four, from, sizeof four);
  return reinterpret_cast<Bytes>(Integers{} + four);
}

inline Bytes low_nibbles(Bytes v) { return v & 15; }
inline Bytes high_nibbles(Bytes v) { return reinterpret_cast<Bytes>(reinterpret_cast<Bits>(v) >> 4) & 15; }
inline Bytes high_nibbles_by_16(Bytes v) { return v & 0xf0; }

#if defined(LAYERHUB_HAS_VNNI)
// w unsigned, a signed.
inline Integers dpbusd(Integers sum, Bytes w, Bytes a) {
#if defined(__AVX512VNNI__)
  return reinterpret_cast<Integers>(
      _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(a)));
#else
  return reinterpret_cast<Integers>(_mm256_dpbusd_avx_epi32(
      reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(a)));
#endif
}
#else
inline Shorts multiply_add_bytes(Bytes w, Bytes a) {
#if defined(LAYERHUB_VECTOR_AVX512)
  return reinterpret_cast<Shorts>(_mm512_maddubs_epi16(reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(a)));
#elif defined(__AVX2__)
  return reinterpret_cast<Shorts>(_mm256_maddubs_epi16(reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(a)));
#else
  return reinterpret_cast<Shorts>(_mm_maddubs_epi16(reinterpret_cast<__m128i>(w), reinterpret_cast<__m128i>(a)));
#endif
}
// Sums of pairs, each times its factor.
inline Integers add_pairs(Shorts v, Shorts factors = Shorts{} + 1) {
#if defined(LAYERHUB_VECTOR_AVX512)
  return reinterpret_cast<Integers>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(v), reinterpret_cast<__m512i>(factors)));
#elif defined(__AVX2__)
  return reinterpret_cast<Integers>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(v), reinterpret_cast<__m256i>(factors)));
#else
  return reinterpret_cast<Integers>(_mm_madd_epi16(reinterpret_cast<__m128i>(v), reinterpret_cast<__m128i>(factors)));
#endif
}
inline Bytes magnitudes(Bytes w) {  // of signed bytes, -128 as 128
#if defined(LAYERHUB_VECTOR_AVX512)
  return reinterpret_cast<Bytes>(_mm512_maskz_abs_epi8(~__mmask64{}, reinterpret_cast<__m512i>(w)));
#elif defined(__AVX2__)
  return reinterpret_cast<Bytes>(_mm256_abs_epi8(reinterpret_cast<__m256i>(w)));
#else
  return reinterpret_cast<Bytes>(_mm_abs_epi8(reinterpret_cast<__m128i>(w)));
#endif
}
inline Bytes with_sign_of(Bytes a, Bytes w) {  // where w is 0 its magnitude makes the product 0, whatever a is
#if defined(LAYERHUB_VECTOR_AVX512)
  const __mmask64 negative = _mm512_movepi8_mask(reinterpret_cast<__m512i>(w));
  return reinterpret_cast<Bytes>(_mm512_mask_sub_epi8(reinterpret_cast<__m512i>(a), negative, _mm512_setzero_si512(),
                                                      reinterpret_cast<__m512i>(a)));
#elif defined(__AVX2__)
  return reinterpret_cast<Bytes>(_mm256_sign_epi8(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(w)));
#else
  return reinterpret_cast<Bytes>(_mm_sign_epi8(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(w)));
#endif
}
#endif

// Sums of products, to which add_dot adds those of four columns; `widened` makes them integers. Of a block's 32 columns
// at most, without VNNI.
template <bool are_bytes>
using SumsOf = std::conditional_t<are_bytes || has_vnni, Integers, Shorts>;

inline Integers widened(Integers sums) { return sums; }

#if defined(LAYERHUB_HAS_VNNI)
// Signed weights are taken as w + 128, since the instruction takes them unsigned: see bytes_offset.
template <bool are_bytes>
Integers add_dot(Integers sums, Bytes w, Bytes a) {
  return dpbusd(sums, are_bytes ? w ^ 128 : w, a);
}
#else
inline Integers widened(Shorts sums) { return add_pairs(sums); }

// Times a number of 15 bits, which `twice` holds in both halves. 15 * 127 * 2 * 8 * 2 * 32767 is what an integer holds.
inline Floats multiplied(Shorts sums, std::int32_t twice) {
  return __builtin_convertvector(add_pairs(sums, reinterpret_cast<Shorts>(Integers{} + twice)), Floats);
}
inline Floats multiplied(Integers sums, std::int32_t twice) {
  return __builtin_convertvector(sums, Floats) * static_cast<float>(twice & 0x7fff);
}

template <bool are_bytes>
auto add_dot(SumsOf<are_bytes> sums, Bytes w, Bytes a) {
  if constexpr (are_bytes) {
    return sums + add_pairs(multiply_add_bytes(magnitudes(w), with_sign_of(a, w)));
  } else {
    return sums + multiply_add_bytes(w, a);
  }
}
#endif

// What add_dot gives too much for signed bytes, in units of the weight's scale and for each unit of the activations.
inline constexpr float bytes_offset = has_vnni ? -128 : 0;

}  // namespace
