// SPDX-License-Identifier: Apache-2.0
// What the processor multiplies: products of 8-bit numbers summed in registers, by every thread, with the best
// instruction of the level that this is compiled for: vpdpbusd, or vpmaddubsw with additions in 16 bits.
#pragma once

#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/vector.hpp>

#include <atomic>

namespace {

using namespace layerhub::sdk;

constexpr int chains = 12;               // independent sums: more than the latency of a multiplication needs
constexpr std::int64_t rounds = 50'000;  // some hundred microseconds

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

inline std::int32_t multiply_for_a_while(std::int32_t seed) {
  Integers sums[chains] = {}, a = Integers{} + seed, b = Integers{} + 0x01010101;
  for (std::int64_t i = 0; i < rounds; ++i) {
    __asm__ volatile("" : "+x"(a), "+x"(b));  // else it is done once
#pragma GCC unroll 12
    for (Integers& sum : sums) {
      sum = multiply(sum, a, b);
    }
  }
  std::int32_t kept = 0;
  for (const Integers& sum : sums) {
    kept += sum[0];
  }
  return kept;
}

// made[0]: how many multiply-adds a call made, as float32. x is not looked at.
struct MultiplyBytes {
  static constexpr std::string_view name = "MultiplyBytes";
  static constexpr std::array arguments{input("x"), output("made")};
  static constexpr std::array constraints{dtype_in("made", f32)};
};
struct Multiplying {
  static void forward(const lh_call& call) {
    const std::uint32_t workers = worker_count(call.host);
    std::atomic<std::int32_t> kept{0};
    parallel_for(call.host, workers, [&](std::uint32_t index, std::uint32_t) {
      kept.fetch_add(multiply_for_a_while(static_cast<std::int32_t>(index) + 1), std::memory_order_relaxed);
    });
    constexpr double each = static_cast<double>(rounds) * chains * vector_bytes;
    // The sum is there so that the compiler can't do without the work; it is never that number.
    *static_cast<float*>(call.out[0]->data) = kept == 0x7fffffff ? 0.f : static_cast<float>(each * workers);
  }
};

LAYERHUB_KERNEL(Multiplying, MultiplyBytes, "multiply-bytes");

}  // namespace
