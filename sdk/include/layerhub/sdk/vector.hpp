// SPDX-License-Identifier: Apache-2.0
// Vectors of float as wide as the registers that this unit is compiled for, so that one source serves every level.
//
// Floats has the compiler's own operators (+, *, <, ?:). What differs between levels stands here and nowhere
// else: loading and storing the three float dtypes, parts of a vector at the end of a row, stores past the
// cache. Arithmetic on a part is that on a whole vector: a row's last elements get the same bits wherever
// the row is cut.
#pragma once

#include <layerhub/sdk/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace layerhub::sdk {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define LAYERHUB_VECTOR_AVX512 1
inline constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
inline constexpr int vector_bytes = 32;
#else
inline constexpr int vector_bytes = 16;
#endif

inline constexpr int lanes = vector_bytes / 4;

using Floats [[gnu::vector_size(vector_bytes)]] = float;
using Integers [[gnu::vector_size(vector_bytes)]] = std::int32_t;
using Bits [[gnu::vector_size(vector_bytes)]] = std::uint32_t;
using HalfBits [[gnu::vector_size(vector_bytes / 2)]] = std::uint16_t;

// How much of a vector is meant: all lanes, or the first `count`, 1 <= count < lanes.
struct Whole {};
struct Part {
  std::int64_t count;
};

// Not 0 + x: that is an addition, since it makes 0 of -0.
inline Floats broadcast(float x) { return x - Floats{}; }

namespace detail {

template <class V, class T>
V load_bits(const T* from, Whole) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class V, class T>
void store_bits(T* to, V v, Whole) {
  std::memcpy(to, &v, sizeof v);
}

#ifdef LAYERHUB_VECTOR_AVX512
// Intrinsics are used in their masked form with all lanes: it is the same instruction, and g++ 12 warns of
// the undefined vector that the plain form is made with.
inline constexpr __mmask16 all_lanes = 0xffff;
inline __mmask16 mask_of(Part part) { return static_cast<__mmask16>((1u << part.count) - 1u); }

template <class V, class T>
V load_bits(const T* from, Part part) {
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<V>(_mm512_maskz_loadu_epi32(mask_of(part), from));
  } else {
    return reinterpret_cast<V>(_mm256_maskz_loadu_epi16(mask_of(part), from));
  }
}
template <class V, class T>
void store_bits(T* to, V v, Part part) {
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_epi32(to, mask_of(part), reinterpret_cast<__m512i>(v));
  } else {
    _mm256_mask_storeu_epi16(to, mask_of(part), reinterpret_cast<__m256i>(v));
  }
}
#else
template <class V, class T>
V load_bits(const T* from, Part part) {
  T buffer[lanes] = {};
  for (std::int64_t i = 0; i < part.count; ++i) {
    buffer[i] = from[i];
  }
  return load_bits<V>(buffer, Whole{});
}
template <class V, class T>
void store_bits(T* to, V v, Part part) {
  T buffer[lanes];
  store_bits(buffer, v, Whole{});
  for (std::int64_t i = 0; i < part.count; ++i) {
    to[i] = buffer[i];
  }
}
#endif

inline Floats widen_bfloat16(HalfBits v) { return reinterpret_cast<Floats>(__builtin_convertvector(v, Bits) << 16); }

inline HalfBits narrow_bfloat16(Floats v) {
#if defined(__AVX512BF16__) && defined(LAYERHUB_VECTOR_AVX512)
  return reinterpret_cast<HalfBits>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(v)));
#else
  const Bits bits = reinterpret_cast<Bits>(v);
  const Bits rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return __builtin_convertvector((v != v ? bits | 0x00400000u : rounded) >> 16, HalfBits);
#endif
}

inline Floats widen_float16(HalfBits v) {
#ifdef LAYERHUB_VECTOR_AVX512
  return reinterpret_cast<Floats>(_mm512_maskz_cvtph_ps(all_lanes, reinterpret_cast<__m256i>(v)));
#elif defined(__F16C__)
  return reinterpret_cast<Floats>(_mm256_cvtph_ps(reinterpret_cast<__m128i>(v)));
#else
  // The exponent's bias is corrected by a product with 2^112, which makes subnormals right too; infinity and NaN keep
  // the largest exponent.
  const Bits bits = __builtin_convertvector(v, Bits);
  const Bits magnitude = bits & 0x7fffu;
  const Floats scaled = reinterpret_cast<Floats>(magnitude << 13) * 0x1p112f;
  const Bits finite = reinterpret_cast<Bits>(scaled);
  return reinterpret_cast<Floats>((magnitude >= 0x7c00u ? finite | 0x7f800000u : finite) | ((bits & 0x8000u) << 16));
#endif
}

inline HalfBits narrow_float16(Floats v) {
#ifdef LAYERHUB_VECTOR_AVX512
  return reinterpret_cast<HalfBits>(
      _mm512_maskz_cvtps_ph(all_lanes, reinterpret_cast<__m512>(v), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
  return reinterpret_cast<HalfBits>(_mm256_cvtps_ph(reinterpret_cast<__m256>(v), _MM_FROUND_TO_NEAREST_INT));
#else
  // The vector form of from_float<float16>: see there.
  const Bits bits = reinterpret_cast<Bits>(v);
  const Bits magnitude = bits & 0x7fffffffu;
  const Bits normal = (magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
  const Bits subnormal = reinterpret_cast<Bits>(reinterpret_cast<Floats>(magnitude) + 0.5f) - 0x3f000000u;
  Bits half = magnitude >= 0x38800000u ? normal : subnormal;
  half = magnitude >= 0x477ff000u ? Bits{} + 0x7c00u : half;
  half = magnitude > 0x7f800000u ? 0x7e00u | ((magnitude >> 13) & 0x3ffu) : half;
  return __builtin_convertvector(half | ((bits >> 16) & 0x8000u), HalfBits);
#endif
}

template <class T>
using StoredBits = std::conditional_t<sizeof(T) == 4, Floats, HalfBits>;

template <class T>
StoredBits<T> narrow(Floats v) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    return narrow_bfloat16(v);
  } else if constexpr (std::is_same_v<T, float16>) {
    return narrow_float16(v);
  } else {
    return v;
  }
}

}  // namespace detail

// Extent: Whole or Part. No alignment is needed; lanes beyond a part are 0 and are not read from memory.
template <class T, class Extent>
Floats load(const T* from, Extent extent) {
  const auto bits = detail::load_bits<detail::StoredBits<T>>(from, extent);
  if constexpr (std::is_same_v<T, bfloat16>) {
    return detail::widen_bfloat16(bits);
  } else if constexpr (std::is_same_v<T, float16>) {
    return detail::widen_float16(bits);
  } else {
    return bits;
  }
}

template <class T, class Extent>
void store(T* to, Floats v, Extent extent) {
  detail::store_bits(to, detail::narrow<T>(v), extent);
}

// v with 0 in the lanes beyond the part.
inline Floats first_lanes(Floats v, Part part) {
  Integers index;
  for (int i = 0; i < lanes; ++i) {
    index[i] = i;
  }
  return index < static_cast<std::int32_t>(part.count) ? v : Floats{};
}

// Stores past the cache, for results too large to be found there again. `to` is aligned to the stored vector.
// stream_end() makes them visible to other threads.
template <class T>
void stream(T* to, Floats v) {
  const auto bits = detail::narrow<T>(v);
  if constexpr (sizeof bits == 64) {
#ifdef LAYERHUB_VECTOR_AVX512
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), reinterpret_cast<__m512i>(bits));
#endif
  } else if constexpr (sizeof bits == 32) {
#ifdef __AVX__
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(bits));
#endif
  } else if constexpr (sizeof bits == 16) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to), reinterpret_cast<__m128i>(bits));
  } else {
    detail::store_bits(to, bits, Whole{});  // 8 bytes: no vector store past the cache is that short
  }
}
inline void stream_end() { _mm_sfence(); }

// Writes y[i] = produce(i)[lane] for i < count, a vector at a time: produce(begin, Extent) returns the
// values from `begin`. is_streamed: past the cache. Values that produce loads from y itself, at the same
// elements, are read before they are overwritten.
template <class T, class Produce>
void write(T* y, std::int64_t count, bool is_streamed, Produce&& produce) {
  std::int64_t i = 0;
  if (is_streamed) {
    constexpr std::uintptr_t unit = sizeof(detail::StoredBits<T>);
    const auto misaligned = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(y) % unit / sizeof(T));
    const std::int64_t head = misaligned == 0 ? 0 : lanes - misaligned;
    if (head != 0 && head <= count) {
      store(y, produce(0, Part{head}), Part{head});
      i = head;
    }
    for (; i + lanes <= count; i += lanes) {
      stream(y + i, produce(i, Whole{}));
    }
  }
  for (; i + lanes <= count; i += lanes) {
    store(y + i, produce(i, Whole{}), Whole{});
  }
  if (i < count) {
    store(y + i, produce(i, Part{count - i}), Part{count - i});
  }
}

// The sum of all lanes, in a fixed order.
inline float sum(Floats v) {
  float values[lanes];
  detail::store_bits(values, v, Whole{});
  for (int width = lanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) {
      values[i] += values[i + width];
    }
  }
  return values[0];
}

namespace detail {

// The sums of term(r, column + v lanes, extent) over r < rows, for v < vectors: in blocks, so that the rounding errors
// add up within a block and among the blocks, not over all rows.
template <int vectors, class Y, class Term, class Extent>
void write_column_block(Y* y, std::int64_t column, std::int64_t rows, Term& term, Extent extent) {
  constexpr std::int64_t block_rows = 128;
  Floats totals[vectors] = {};
  for (std::int64_t begin = 0; begin < rows; begin += block_rows) {
    const std::int64_t end = rows - begin < block_rows ? rows : begin + block_rows;
    Floats sums[vectors] = {};
    for (std::int64_t r = begin; r < end; ++r) {
      for (int v = 0; v < vectors; ++v) {
        sums[v] += term(r, column + v * lanes, extent);
      }
    }
    for (int v = 0; v < vectors; ++v) {
      totals[v] += sums[v];
    }
  }
  for (int v = 0; v < vectors; ++v) {
    store(y + column + v * lanes, totals[v], extent);
  }
}

}  // namespace detail

// Work on columns is cut at multiples of it, so that a column always falls into the same lane of the same loop.
inline constexpr std::int64_t column_grain = 64;

// Writes y[c] = the sum of term(r, c) over all r < rows, for begin <= c < end: term(r, c, Extent) returns the values
// from column c. begin is a multiple of column_grain; the order of additions depends on nothing but `rows`.
template <class Y, class Term>
void write_column_sums(Y* y, std::int64_t begin, std::int64_t end, std::int64_t rows, Term&& term) {
  std::int64_t column = begin;
  for (; column + 4 * lanes <= end; column += 4 * lanes) {
    detail::write_column_block<4>(y, column, rows, term, Whole{});
  }
  for (; column + lanes <= end; column += lanes) {
    detail::write_column_block<1>(y, column, rows, term, Whole{});
  }
  if (column < end) {
    detail::write_column_block<1>(y, column, rows, term, Part{end - column});
  }
}

}  // namespace layerhub::sdk
