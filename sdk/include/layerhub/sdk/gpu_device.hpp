// SPDX-License-Identifier: Apache-2.0
// What kernels call on the device, for CUDA and HIP alike: 128-bit accesses, conversions of the 16-bit floats, the
// functions of a warp and of a block.
//
// A warp is the threads that run in step: 32 on CUDA, 64 or 32 on AMD. Blocks have one dimension, of a multiple of
// warp_size threads, and all threads of a warp (of a block) take part in a function of the warp (of the block).
#pragma once

#include <layerhub/sdk/dtype.hpp>
#include <layerhub/sdk/gpu_api.hpp>

#include <cstdint>

namespace layerhub::sdk::gpu {

// Known when the device's code is compiled. Host code must not depend on it: it is compiled once for devices of both
// widths. largest_warp divides every sensible size of a block.
inline constexpr int largest_warp = 64;
#if !defined(__HIP_PLATFORM_AMD__)
inline constexpr int warp_size = 32;
#elif defined(__AMDGCN_WAVEFRONT_SIZE)
inline constexpr int warp_size = __AMDGCN_WAVEFRONT_SIZE;  // gfx9: 64, gfx10 and newer: 32
#else
inline constexpr int warp_size = largest_warp;
#endif

// ---- Numbers ----

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(bfloat16 x) { return to_float(x); }
__device__ inline float widen(float16 x) {
#if defined(__CUDA_ARCH__)
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
  return wide;
#elif defined(__HIP_DEVICE_COMPILE__)
  return __builtin_bit_cast(_Float16, x.bits);
#else
  return to_float(x);
#endif
}

// float -> T rounds to nearest, ties to even; NaN stays NaN.
template <class T>
__device__ inline T narrow(float x) {
  return from_float<T>(x);
}
#if defined(__CUDA_ARCH__)
template <>
__device__ inline bfloat16 narrow<bfloat16>(float x) {
  bfloat16 result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(x));
  return result;
}
template <>
__device__ inline float16 narrow<float16>(float x) {
  float16 result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(x));
  return result;
}
#elif defined(__HIP_DEVICE_COMPILE__)
template <>
__device__ inline float16 narrow<float16>(float x) {
  return {__builtin_bit_cast(std::uint16_t, static_cast<_Float16>(x))};
}
#endif

// a / b within two units in the last place, without the branch of the exact quotient; 0 where |b| is above 2^126.
__device__ inline float quotient(float a, float b) {
#if defined(__CUDA_ARCH__) || defined(__HIP_DEVICE_COMPILE__)
  return __fdividef(a, b);
#else
  return a / b;
#endif
}

// sum + the four products of the signed bytes of a and b.
__device__ inline int dot4(int a, int b, int sum) {
#if !defined(__HIP_PLATFORM_AMD__)
  return __dp4a(a, b, sum);
#elif defined(__gfx906__) || defined(__gfx908__) || defined(__gfx90a__) || defined(__gfx1030__)
  return __builtin_amdgcn_sdot4(a, b, sum, false);
#else
  for (int shift = 0; shift < 32; shift += 8) {
    sum += static_cast<std::int8_t>(a >> shift) * static_cast<std::int8_t>(b >> shift);
  }
  return sum;
#endif
}

// ---- Memory: up to 16 bytes at once, which is what a thread can move in one access ----

template <class T>
inline constexpr int vector_width = 16 / static_cast<int>(sizeof(T));

// `size` elements, a power of two, read and written in one access or, beyond 16 bytes, in several.
template <class T, int size = vector_width<T>>
struct alignas(sizeof(T) * size < 16 ? sizeof(T) * size : 16) Pack {
  T values[size];
  __device__ T& operator[](int i) { return values[i]; }
  __device__ const T& operator[](int i) const { return values[i]; }
};

// The type of one such access. Elements of two bytes loaded one by one are not always joined by the compilers.
template <int bytes>
struct Access {
#if defined(__HIP_DEVICE_COMPILE__)
  using Words = unsigned __attribute__((ext_vector_type(4)));
#else
  using Words = uint4;
#endif
};
template <>
struct Access<8> {
  using Words = std::uint64_t;
};
template <>
struct Access<4> {
  using Words = std::uint32_t;
};
template <>
struct Access<2> {
  using Words = std::uint16_t;
};
using Words = Access<16>::Words;

// `from` and `to` are aligned as the pack is; see Rows::takes_packs in gpu.hpp.
template <int size, class T>
__device__ inline Pack<T, size> load_pack(const T* from) {
  using Word = typename Access<sizeof(T) * size>::Words;
  Pack<T, size> pack;
  constexpr int accesses = sizeof pack / sizeof(Word);
  Word words[accesses];
#pragma unroll
  for (int i = 0; i < accesses; ++i) {
    words[i] = reinterpret_cast<const Word*>(from)[i];
  }
  __builtin_memcpy(&pack, words, sizeof pack);
  return pack;
}
template <class T>
__device__ inline Pack<T> load_pack(const T* from) {
  return load_pack<vector_width<T>>(from);
}
template <class T, int size>
__device__ inline void store_pack(T* to, const Pack<T, size>& pack) {
  using Word = typename Access<sizeof(T) * size>::Words;
  constexpr int accesses = sizeof pack / sizeof(Word);
  Word words[accesses];
  __builtin_memcpy(words, &pack, sizeof pack);
#pragma unroll
  for (int i = 0; i < accesses; ++i) {
    reinterpret_cast<Word*>(to)[i] = words[i];
  }
}

// The same for what will not be used again before it leaves the caches.
template <class T>
__device__ inline Pack<T> load_pack_streamed(const T* from) {
#if defined(__HIP_DEVICE_COMPILE__)
  const Words words = __builtin_nontemporal_load(reinterpret_cast<const Words*>(from));
#elif defined(__CUDA_ARCH__)
  const Words words = __ldcs(reinterpret_cast<const Words*>(from));
#else
  const Words words = *reinterpret_cast<const Words*>(from);
#endif
  Pack<T> pack;
  __builtin_memcpy(&pack, &words, sizeof pack);
  return pack;
}
template <class T>
__device__ inline void store_pack_streamed(T* to, const Pack<T>& pack) {
  Words words;
  __builtin_memcpy(&words, &pack, sizeof words);
#if defined(__HIP_DEVICE_COMPILE__)
  __builtin_nontemporal_store(words, reinterpret_cast<Words*>(to));
#elif defined(__CUDA_ARCH__)
  __stcs(reinterpret_cast<Words*>(to), words);
#else
  *reinterpret_cast<Words*>(to) = words;
#endif
}

// A pack of these numbers.
template <class T, int size>
__device__ inline Pack<T, size> narrow_pack(const float (&numbers)[size]) {
  Pack<T, size> pack;
#pragma unroll
  for (int i = 0; i < size; ++i) {
    pack[i] = narrow<T>(numbers[i]);
  }
  return pack;
}

// The shared memory that a launch was given beside the kernel's own arrays, as elements of T. One array for a kernel.
template <class T>
__device__ inline T* dynamic_shared() {
  extern __shared__ uint4 layerhub_dynamic_shared[];
  return reinterpret_cast<T*>(layerhub_dynamic_shared);
}

// ---- Threads of a warp ----

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % warp_size; }

// The value of the thread whose lane differs by the bits of `mask`; that is `distance` lanes further; of lane `source`.
// T: int, unsigned or float.
template <class T>
__device__ inline T shuffle_xor(T value, int mask) {
#if defined(__HIP_PLATFORM_AMD__)
  return __shfl_xor(value, mask);
#else
  return __shfl_xor_sync(0xffffffffu, value, mask);
#endif
}
template <class T>
__device__ inline T shuffle_down(T value, int distance) {
#if defined(__HIP_PLATFORM_AMD__)
  return __shfl_down(value, static_cast<unsigned>(distance));
#else
  return __shfl_down_sync(0xffffffffu, value, static_cast<unsigned>(distance));
#endif
}
template <class T>
__device__ inline T broadcast(T value, int source) {
#if defined(__HIP_PLATFORM_AMD__)
  return __shfl(value, source);
#else
  return __shfl_sync(0xffffffffu, value, source);
#endif
}

struct Sum {
  static constexpr float identity = 0;
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Max {
  static constexpr float identity = -__builtin_huge_valf();
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Every thread gets the result. The order is the same in each run.
template <class Combine>
__device__ inline float warp_combine(float value) {
  for (int distance = warp_size / 2; distance > 0; distance /= 2) {
    value = Combine()(value, shuffle_xor(value, distance));
  }
  return value;
}
__device__ inline float warp_sum(float value) { return warp_combine<Sum>(value); }
__device__ inline float warp_max(float value) { return warp_combine<Max>(value); }

// ---- Threads of a block ----

template <class Combine>
__device__ inline float block_combine(float value) {
  __shared__ float of_warps[1024 / 32];  // one for each warp of the largest block
  const int warps = static_cast<int>(blockDim.x) / warp_size;
  value = warp_combine<Combine>(value);
  __syncthreads();  // what was combined before has been read
  if (lane() == 0) {
    of_warps[threadIdx.x / warp_size] = value;
  }
  __syncthreads();
  return warp_combine<Combine>(lane() < warps ? of_warps[lane()] : Combine::identity);
}
__device__ inline float block_sum(float value) { return block_combine<Sum>(value); }
__device__ inline float block_max(float value) { return block_combine<Max>(value); }

}  // namespace layerhub::sdk::gpu
