// SPDX-License-Identifier: Apache-2.0
// Vectors of float as wide as the registers that this unit is compiled for, so that one source serves every level.
//
// Floats has the compiler's own operators (+, *, <, ?:). What differs between levels stands here and nowhere
// else: loading and storing the three float dtypes, parts of a vector at the end of a row, stores past the
// cache. Arithmetic on a part is that on a whole vector: a row's last elements get the same bits, NaN's
// aside, wherever the row is cut.
#pragma once

#include <layerhub/sdk/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

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
inline constexpr std::int64_t cache_line_bytes = 64;

using Floats [[gnu::vector_size(vector_bytes)]] = float;
using Integers [[gnu::vector_size(vector_bytes)]] = std::int32_t;
using Bits [[gnu::vector_size(vector_bytes)]] = std::uint32_t;
using HalfBits [[gnu::vector_size(vector_bytes / 2)]] = std::uint16_t;

// How much of a vector is meant: all lanes, or the first `count`, 1 <= count < lanes.
struct Whole {};
struct Part {
  std::int64_t count;
};
// Or 2 lanes elements, as a FloatPair: see ByPairs.
struct Pair {};

// Every other one of 2 lanes elements, from the first and from the second on.
struct FloatPair {
  Floats even, odd;

  friend FloatPair operator+(FloatPair a, FloatPair b) { return {a.even + b.even, a.odd + b.odd}; }
  friend FloatPair operator*(FloatPair a, FloatPair b) { return {a.even * b.even, a.odd * b.odd}; }
  friend FloatPair operator*(FloatPair a, float b) { return {a.even * b, a.odd * b}; }
};

// A float that comes from elsewhere, as it may be computed with by pairs.
inline float canonical(float x) { return x == x ? x : __builtin_nanf(""); }

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

// Each in a lane of 32 bits: one instruction, where g++ 12 makes four shuffles of __builtin_convertvector.
inline Bits widen_words(HalfBits v) {
#if defined(LAYERHUB_VECTOR_AVX512)
  return reinterpret_cast<Bits>(_mm512_maskz_cvtepu16_epi32(all_lanes, reinterpret_cast<__m256i>(v)));
#elif defined(__AVX2__)
  return reinterpret_cast<Bits>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(v)));
#else
  return __builtin_convertvector(v, Bits);
#endif
}

inline Floats widen_bfloat16(HalfBits v) { return reinterpret_cast<Floats>(widen_words(v) << 16); }

// The nearest bfloat16, ties to even, in the upper half of each lane; NaN stays one.
inline Bits rounded_bfloat16(Floats v) {
  const Bits bits = reinterpret_cast<Bits>(v);
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) | reinterpret_cast<Bits>(v != v);
}

inline HalfBits narrow_bfloat16(Floats v) {
#if defined(__AVX512BF16__) && defined(LAYERHUB_VECTOR_AVX512)
  return reinterpret_cast<HalfBits>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(v)));
#else
  return __builtin_convertvector(rounded_bfloat16(v) >> 16, HalfBits);
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
  const Bits bits = widen_words(v);
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

// Two bfloat16 in a lane of 32 bits are two floats with no shuffle: one shifted up, one with the other masked away.
inline FloatPair load(const bfloat16* from, Pair) {
  const auto both = detail::load_bits<Bits>(from, Whole{});
  return {reinterpret_cast<Floats>(both << 16), reinterpret_cast<Floats>(both & 0xffff0000u)};
}

template <class T, class Extent>
void store(T* to, Floats v, Extent extent) {
  detail::store_bits(to, detail::narrow<T>(v), extent);
}

// Lane by lane, in one instruction; b where one of them is NaN.
inline Floats larger(Floats a, Floats b) {
#if defined(LAYERHUB_VECTOR_AVX512)
  return reinterpret_cast<Floats>(
      _mm512_maskz_max_ps(detail::all_lanes, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<Floats>(_mm256_max_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b)));
#else
  return reinterpret_cast<Floats>(_mm_max_ps(reinterpret_cast<__m128>(a), reinterpret_cast<__m128>(b)));
#endif
}
inline Floats smaller(Floats a, Floats b) {
#if defined(LAYERHUB_VECTOR_AVX512)
  return reinterpret_cast<Floats>(
      _mm512_maskz_min_ps(detail::all_lanes, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<Floats>(_mm256_min_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b)));
#else
  return reinterpret_cast<Floats>(_mm_min_ps(reinterpret_cast<__m128>(a), reinterpret_cast<__m128>(b)));
#endif
}

// Within [low, high]; NaN stays NaN.
inline Floats within(Floats x, float low, float high) { return smaller(broadcast(high), larger(broadcast(low), x)); }

// Element i is element place(i) of a and b, one after the other.
template <auto place, class V>
V shuffled(V a, V b) {
  return [&]<int... i>(std::integer_sequence<int, i...>) { return __builtin_shufflevector(a, b, place(i)...); }
  (std::make_integer_sequence<int, sizeof(V) / sizeof(a[0])>{});
}

// v with 0 in the lanes beyond the part.
inline Floats first_lanes(Floats v, Part part) {
  Integers index;
  for (int i = 0; i < lanes; ++i) {
    index[i] = i;
  }
  return index < static_cast<std::int32_t>(part.count) ? v : Floats{};
}

namespace detail {

using Register [[gnu::vector_size(vector_bytes)]] = std::uint8_t;
using Words [[gnu::vector_size(vector_bytes)]] = std::uint16_t;

// Elements of T that fill a register: one vector of floats, or two that are narrowed to 16 bits.
template <class T>
inline constexpr std::int64_t register_elements = vector_bytes / static_cast<std::int64_t>(sizeof(T));

// The upper halves of all lanes, those of `low` first.
inline Register upper_halves(Bits low, Bits high) {
  constexpr auto odd = [](int i) { return 2 * i + 1; };
  return reinterpret_cast<Register>(shuffled<odd>(reinterpret_cast<Words>(low), reinterpret_cast<Words>(high)));
}

inline Register joined(HalfBits low, HalfBits high) {
  Register both;
  std::memcpy(&both, &low, sizeof low);
  std::memcpy(reinterpret_cast<char*>(&both) + sizeof low, &high, sizeof high);
  return both;
}

// The lower half of each lane of a beside the upper half of that of b.
inline Words halves(Bits a, Bits b) {
  return shuffled<[](int i) { return i % 2 == 0 ? i : 2 * lanes + i; }>(reinterpret_cast<Words>(a),
                                                                        reinterpret_cast<Words>(b));
}

// a - b, not below 0.
inline Words difference(Words a, Words b) {
#if defined(LAYERHUB_VECTOR_AVX512)
  return reinterpret_cast<Words>(_mm512_subs_epu16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<Words>(_mm256_subs_epu16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
  return reinterpret_cast<Words>(_mm_subs_epu16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#endif
}

// Each lane's two bfloat16 that are nearest, ties to even. NaN stays one where its lower half is 0, as of those that
// were bfloat16 and those that arithmetic makes of other numbers.
inline Register joined(FloatPair v) {
  const Bits a = reinterpret_cast<Bits>(v.even), b = reinterpret_cast<Bits>(v.odd);
  const Words kept = halves(a >> 16, b), cut = halves(a, b << 16);
  // One less where the last bit kept is 0, so that half of it is rounded down then.
  return reinterpret_cast<Register>(kept + (difference(cut, ~kept & 1) >> 15));
}

#if defined(__AVX512BF16__) && defined(LAYERHUB_VECTOR_AVX512)
inline constexpr bool rounds_pairs = false;  // an instruction does
#else
inline constexpr bool rounds_pairs = true;
#endif

// The elements that `produce` gives from i on, as they stand in memory. A call for each register would load what
// `produce` captured, and every constant, anew.
template <class T, class Produce>
[[gnu::always_inline]] inline Register produce_register(std::int64_t i, Produce& produce) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return reinterpret_cast<Register>(produce(i, Whole{}));
  } else if constexpr (std::is_same_v<T, bfloat16> && rounds_pairs && requires { Produce::gives_pairs; }) {
    return joined(produce(i, Pair{}));
  } else {
    const Floats low = produce(i, Whole{});
    const Floats high = produce(i + lanes, Whole{});
    if constexpr (std::is_same_v<T, bfloat16>) {
#if defined(__AVX512BF16__) && defined(LAYERHUB_VECTOR_AVX512)
      return reinterpret_cast<Register>(
          _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(high), reinterpret_cast<__m512>(low)));
#else
      return upper_halves(rounded_bfloat16(low), rounded_bfloat16(high));
#endif
    } else {
      return joined(narrow<T>(low), narrow<T>(high));
    }
  }
}

// Past the cache; `to` is aligned to the register.
inline void stream_register(void* to, Register v) {
#if defined(LAYERHUB_VECTOR_AVX512)
  _mm512_stream_si512(static_cast<__m512i*>(to), reinterpret_cast<__m512i>(v));
#elif defined(__AVX2__)
  _mm256_stream_si256(static_cast<__m256i*>(to), reinterpret_cast<__m256i>(v));
#else
  _mm_stream_si128(static_cast<__m128i*>(to), reinterpret_cast<__m128i>(v));
#endif
}

// Elements of T in a cache line, all of whose registers are streamed one after the other: a line that leaves the
// processor's buffers in parts is written in parts.
template <class T>
inline constexpr std::int64_t line_elements = cache_line_bytes / static_cast<std::int64_t>(sizeof(T));

// [i, end) a vector at a time, and the last part.
template <class T, class Produce>
void write_vectors(T* y, std::int64_t i, std::int64_t end, Produce produce) {
  for (; i + lanes <= end; i += lanes) {
    store(y + i, produce(i, Whole{}), Whole{});
  }
  if (i < end) {
    store(y + i, produce(i, Part{end - i}), Part{end - i});
  }
}

}  // namespace detail

// How far ahead of a pass that goes past the cache its inputs are asked for. Where much is computed for each element
// the processor sees only some lines ahead of itself; this is two pages, where its own prefetching has stopped.
inline constexpr std::int64_t prefetched_bytes = 8192;
// Asks for the line that lies so far behind x. Never faults: what is not there is not fetched.
template <class T>
void prefetch_ahead(const T* x) {
  _mm_prefetch(reinterpret_cast<const char*>(x) + prefetched_bytes, _MM_HINT_T0);
}
// For as many lines as `bytes` has, `distance` bytes behind x.
template <std::int64_t bytes, std::int64_t distance = prefetched_bytes, class T>
void prefetch_ahead(const T* x) {
#pragma GCC unroll 20
  for (std::int64_t i = 0; i < bytes; i += cache_line_bytes) {
    _mm_prefetch(reinterpret_cast<const char*>(x) + distance + i, _MM_HINT_T0);
  }
}

// For write(): the lines of these inputs that lie ahead.
template <class... T>
auto prefetched(const T*... inputs) {
  return [=](std::int64_t i) { (prefetch_ahead(inputs + i), ...); };
}

// Stores past the cache become visible to other threads.
inline void stream_end() { _mm_sfence(); }

// For write(): `produce` also knows the extent Pair, and gives a FloatPair then. Where no instruction converts
// bfloat16, that saves most of what it costs. What NaN there is must have a lower half of 0: see canonical().
template <class Produce>
struct ByPairs : Produce {
  static constexpr bool gives_pairs = true;
};
template <class Produce>
ByPairs(Produce) -> ByPairs<Produce>;

// For what a produce by pairs stores besides.
inline void store(bfloat16* to, FloatPair v, Pair) { detail::store_bits(to, detail::joined(v), Whole{}); }

// For write() without anything to prepare.
struct Unprepared {
  void operator()(std::int64_t) const {}
};

// Where the first register of y that write() fills begins, and with it the first pair: at a line of the cache where it
// streams.
template <class T>
std::int64_t first_register(const T* y, bool is_streamed) {
  const auto before_line = -reinterpret_cast<std::uintptr_t>(y) % cache_line_bytes / sizeof(T);
  return is_streamed ? static_cast<std::int64_t>(before_line) : 0;
}

// Writes y[i] = produce(i)[lane] for i < count, a register at a time: produce(begin, Extent) returns the values from
// `begin`. is_streamed: past the cache, for results too large to be found there again; stream_end() follows.
// prepare(begin) is then called once for each line of y, for what is asked for ahead. Values that produce loads from y
// itself, at the same elements, are read before they are overwritten. produce is copied, and keeps nothing from one
// call to the next: what it captures by value can stay in registers, while what it refers to may be one of y's
// elements, for all that the compiler knows.
template <class T, class Produce, class Prepare = Unprepared>
[[gnu::always_inline]] inline void write(T* y, std::int64_t count, bool is_streamed, Produce produce,
                                         Prepare prepare = {}) {
  constexpr std::int64_t step = detail::register_elements<T>, line = detail::line_elements<T>;
  std::int64_t i = 0;
  if (is_streamed) {
    if (const std::int64_t first = first_register(y, true); first <= count) {
      detail::write_vectors(y, 0, first, produce);
      for (i = first; i + line <= count; i += line) {
        prepare(i);
        for (std::int64_t k = 0; k < line; k += step) {
          detail::stream_register(y + i + k, detail::produce_register<T>(i + k, produce));
        }
      }
    }
  } else {
#pragma GCC unroll 2
    for (; i + step <= count; i += step) {
      detail::store_bits(y + i, detail::produce_register<T>(i, produce), Whole{});
    }
  }
  if (i < count) {
    detail::write_vectors(y, i, count, produce);
  }
}

// The sum of all lanes: halves are added until one is left.
inline float sum(Floats v) {
  using Quarter [[gnu::vector_size(16)]] = float;
  Quarter quarters[vector_bytes / 16];
  std::memcpy(quarters, &v, sizeof v);
  for (int width = vector_bytes / 32; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) {
      quarters[i] += quarters[i + width];
    }
  }
  const Quarter pairs = quarters[0] + __builtin_shufflevector(quarters[0], quarters[0], 2, 3, 0, 1);
  return pairs[0] + pairs[1];
}

}  // namespace layerhub::sdk
