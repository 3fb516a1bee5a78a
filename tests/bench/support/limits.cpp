// SPDX-License-Identifier: Apache-2.0
// Each loop exists for AVX-512 and for AVX2, chosen by the processor and LAYERHUB_CPU_CAPABILITY as the kernels are.
#include "bench/support/limits.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include <immintrin.h>
#include <unistd.h>

// g++ 12 takes the undefined registers inside of some AVX-512 functions for a mistake of their caller.
#pragma GCC diagnostic ignored "-Wuninitialized"

#define LAYERHUB_V4 [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]]
#define LAYERHUB_V3 [[gnu::target("avx2,fma")]]

namespace layerhub::bench {
namespace {

// A share of the work: a multiple of 64 bytes that four or more of make up each thread's part.
constexpr std::size_t piece = std::size_t{1} << 20;

bool is_v4() {
  static const bool chosen = [] {
    const char* level = std::getenv("LAYERHUB_CPU_CAPABILITY");
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
           (level == nullptr || level[0] >= '4');
  }();
  return chosen;
}

LAYERHUB_V4 float read_v4(const char* from, std::size_t bytes) {
  __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
  for (std::size_t i = 0; i + 256 <= bytes; i += 256) {
    for (std::size_t k = 0; k < 4; ++k) {
      sums[k] = _mm512_xor_ps(sums[k], _mm512_loadu_ps(reinterpret_cast<const float*>(from + i + 64 * k)));
    }
  }
  return _mm512_cvtss_f32(_mm512_xor_ps(_mm512_xor_ps(sums[0], sums[1]), _mm512_xor_ps(sums[2], sums[3])));
}
LAYERHUB_V3 float read_v3(const char* from, std::size_t bytes) {
  __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  for (std::size_t i = 0; i + 128 <= bytes; i += 128) {
    for (std::size_t k = 0; k < 4; ++k) {
      sums[k] = _mm256_xor_ps(sums[k], _mm256_loadu_ps(reinterpret_cast<const float*>(from + i + 32 * k)));
    }
  }
  return _mm256_cvtss_f32(_mm256_xor_ps(_mm256_xor_ps(sums[0], sums[1]), _mm256_xor_ps(sums[2], sums[3])));
}

LAYERHUB_V4 void stream_v4(float* to, const float* a, const float* b, std::size_t count) {
  for (std::size_t i = 0; i + 16 <= count; i += 16) {
    const __m512 left = _mm512_loadu_ps(a + i);
    _mm512_stream_ps(to + i, b == nullptr ? left : _mm512_add_ps(left, _mm512_loadu_ps(b + i)));
  }
  _mm_sfence();
}
LAYERHUB_V3 void stream_v3(float* to, const float* a, const float* b, std::size_t count) {
  for (std::size_t i = 0; i + 8 <= count; i += 8) {
    const __m256 left = _mm256_loadu_ps(a + i);
    _mm256_stream_ps(to + i, b == nullptr ? left : _mm256_add_ps(left, _mm256_loadu_ps(b + i)));
  }
  _mm_sfence();
}

constexpr int chains = 12;        // independent sums: more than a multiplier's latency needs
constexpr int repeats = 100'000;  // about a millisecond

LAYERHUB_V4 int multiply_v4(int seed) {
  __m512i sums[chains] = {};
  __m512i a = _mm512_set1_epi32(seed), b = _mm512_set1_epi32(0x01010101);
  for (int i = 0; i < repeats; ++i) {
    __asm__ volatile("" : "+v"(a), "+v"(b));  // or it is done once
#pragma GCC unroll 12
    for (__m512i& sum : sums) {
      sum = _mm512_dpbusd_epi32(sum, a, b);
    }
  }
  int total = 0;
  for (const __m512i& sum : sums) {
    total += _mm_cvtsi128_si32(_mm512_castsi512_si128(sum));
  }
  return total;
}
LAYERHUB_V3 int multiply_v3(int seed) {
  __m256i sums[chains] = {};
  __m256i a = _mm256_set1_epi32(seed), b = _mm256_set1_epi32(0x01010101);
  for (int i = 0; i < repeats; ++i) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 12
    for (__m256i& sum : sums) {
      __m256i product = _mm256_maddubs_epi16(a, b);
      __asm__ volatile("" : "+x"(product));
      sum = _mm256_add_epi16(sum, product);
    }
  }
  int total = 0;
  for (const __m256i& sum : sums) {
    total += _mm256_extract_epi32(sum, 0);
  }
  return total;
}

std::atomic<int> kept{0};  // results that nobody reads

// body(first byte, bytes) over pieces of `bytes`, on all threads.
template <class Body>
void in_pieces(Team& team, std::size_t bytes, Body body) {
  const std::size_t size = std::min(piece, (bytes / team.width() + 63) / 64 * 64 + 64);
  team.run(static_cast<std::uint32_t>((bytes + size - 1) / size), [&](std::uint32_t index) {
    const std::size_t first = index * size;
    body(first, std::min(size, bytes - first));
  });
}

}  // namespace

std::size_t out_of_cache() {
  const long largest = std::max(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
  return std::max(std::size_t{128} << 20, 2 * static_cast<std::size_t>(std::max(0L, largest)));
}

float read(Team& team, const void* from, std::size_t bytes) {
  std::atomic<float> sum{0};
  in_pieces(team, bytes, [&](std::size_t first, std::size_t count) {
    const char* at = static_cast<const char*>(from) + first;
    sum.store(is_v4() ? read_v4(at, count) : read_v3(at, count), std::memory_order_relaxed);
  });
  return sum;
}

void stream(Team& team, float* to, const float* a, const float* b, std::size_t count) {
  in_pieces(team, 4 * count, [&](std::size_t first, std::size_t bytes) {
    const std::size_t at = first / 4;
    (is_v4() ? stream_v4 : stream_v3)(to + at, a + at, b == nullptr ? nullptr : b + at, bytes / 4);
  });
}

void copy(Team& team, void* to, const void* from, std::size_t bytes) {
  stream(team, static_cast<float*>(to), static_cast<const float*>(from), nullptr, bytes / 4);
}

double multiply_bytes(Team& team) {
  team.run(team.width(), [](std::uint32_t index) {
    kept.store((is_v4() ? multiply_v4 : multiply_v3)(static_cast<int>(index) + 1), std::memory_order_relaxed);
  });
  return static_cast<double>(team.width()) * repeats * chains * (is_v4() ? 64 : 32);
}

}  // namespace layerhub::bench
