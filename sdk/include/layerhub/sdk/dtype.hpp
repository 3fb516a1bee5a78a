// SPDX-License-Identifier: Apache-2.0
// The dtypes that layers speak of, by DLPack's codes, and the C++ types of the two 16-bit floats.
//
// float16 is IEEE 754 binary16, bfloat16 the upper half of a binary32; both are stored as their bits and computed with
// as float. float -> 16 bits rounds to nearest, ties to even; NaN stays NaN.
#pragma once

#include <dlpack/dlpack.h>

#include <bit>
#include <cstdint>

namespace layerhub::sdk {

inline constexpr DLDataType f32{kDLFloat, 32, 1};
inline constexpr DLDataType f64{kDLFloat, 64, 1};
inline constexpr DLDataType f16{kDLFloat, 16, 1};
inline constexpr DLDataType bf16{kDLBfloat, 16, 1};
inline constexpr DLDataType i32{kDLInt, 32, 1};
inline constexpr DLDataType i64{kDLInt, 64, 1};
inline constexpr DLDataType u8{kDLUInt, 8, 1};

constexpr bool same(DLDataType a, DLDataType b) { return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes; }

struct bfloat16 {
  std::uint16_t bits;
};
struct float16 {
  std::uint16_t bits;
};

template <class T>
inline constexpr DLDataType dtype_of{};
template <>
inline constexpr DLDataType dtype_of<float> = f32;
template <>
inline constexpr DLDataType dtype_of<float16> = f16;
template <>
inline constexpr DLDataType dtype_of<bfloat16> = bf16;
template <>
inline constexpr DLDataType dtype_of<std::uint8_t> = u8;

constexpr float to_float(float x) { return x; }
constexpr float to_float(bfloat16 x) { return std::bit_cast<float>(std::uint32_t{x.bits} << 16); }

// binary16 -> binary32 is exact. Subnormals are rebuilt by one subtraction instead of a loop.
constexpr float to_float(float16 x) {
  const std::uint32_t sign = (x.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = x.bits & 0x7fffu;
  std::uint32_t bits = magnitude << 13;
  if (magnitude >= 0x7c00u) {
    bits += 0x70000000u;  // infinity and NaN
  } else if (magnitude >= 0x0400u) {
    bits += 0x38000000u;  // 127 - 15 in the exponent
  } else {
    const float value = std::bit_cast<float>(bits + 0x38800000u) - std::bit_cast<float>(0x38800000u);
    bits = std::bit_cast<std::uint32_t>(value);
  }
  return std::bit_cast<float>(bits | sign);
}

template <class T>
constexpr T from_float(float x);
template <>
constexpr float from_float<float>(float x) {
  return x;
}
template <>
constexpr bfloat16 from_float<bfloat16>(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<std::uint16_t>((nan ? bits | 0x00400000u : rounded) >> 16)};
}
template <>
constexpr float16 from_float<float16>(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  std::uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  } else if (magnitude >= 0x477ff000u) {
    half = 0x7c00u;  // rounds beyond 65504
  } else if (magnitude >= 0x38800000u) {
    half = (magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
  } else {
    // Adding 0.5 lines the subnormal's last bit up with the float's: the addition itself rounds to nearest even.
    half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  }
  return {static_cast<std::uint16_t>(half | sign)};
}

// Runs visit.template operator()<T>() for the C++ type of a float dtype; returns false for any other dtype.
template <class Visit>
bool visit_float(DLDataType dtype, Visit&& visit) {
  if (same(dtype, f32)) {
    visit.template operator()<float>();
  } else if (same(dtype, bf16)) {
    visit.template operator()<bfloat16>();
  } else if (same(dtype, f16)) {
    visit.template operator()<float16>();
  } else {
    return false;
  }
  return true;
}

}  // namespace layerhub::sdk
