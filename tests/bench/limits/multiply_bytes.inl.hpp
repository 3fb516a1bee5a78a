// SPDX-License-Identifier: Apache-2.0
// 8-bit products, with the best instruction of the level that this is compiled for: vpdpbusd, or vpmaddubsw with
// additions in 16 bits.
#pragma once

#include "multiply.inl.hpp"

namespace {

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
inline Integers multiply(Integers sum, Integers a, Integers b) {
#if defined(__AVX512VNNI__)
  return reinterpret_cast<Integers>(
      _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#else
  return reinterpret_cast<Integers>(_mm256_dpbusd_avx_epi32(
      reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#endif
}
#else
using Shorts [[gnu::vector_size(vector_bytes)]] = std::int16_t;
inline Integers multiply(Integers sum, Integers a, Integers b) {
#if defined(__AVX512BW__)
  const auto product = _mm512_maddubs_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b));
#elif defined(__AVX2__)
  const auto product = _mm256_maddubs_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b));
#else
  const auto product = _mm_maddubs_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b));
#endif
  return reinterpret_cast<Integers>(reinterpret_cast<Shorts>(sum) + reinterpret_cast<Shorts>(product));
}
#endif

// x is not looked at.
struct MultiplyBytes {
  static constexpr std::string_view name = "MultiplyBytes";
  static constexpr std::array arguments{input("x"), output("made")};
  static constexpr std::array constraints{dtype_in("made", f32)};
};
struct MultiplyingBytes {
  static void forward(const lh_call& call) {
    multiply_for_a_while(call, vector_bytes, Integers{} + 0x01010101, Integers{} + 0x01010101,
                         [](Integers sum, Integers a, Integers b) { return multiply(sum, a, b); });
  }
};

LAYERHUB_KERNEL(MultiplyingBytes, MultiplyBytes, "multiply-bytes");

}  // namespace
