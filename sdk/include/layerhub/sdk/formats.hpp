// SPDX-License-Identifier: Apache-2.0
// Block formats of weights: how many elements a block holds, in how many bytes, and what they are as floats.
//
// A weight of such a format is uint8 [rows, bytes of one row]; its logical width is bytes / block bytes * block
// elements, and that is what constraints speak of. Layouts are those of GGUF files (ggml's block_q4_0, block_q4_1,
// block_q8_0, all little-endian, d and m are binary16): element i < 16 is the low nibble of byte i, element i >=
// 16 the high one of byte i - 16.
//   q4_0: d, 16 bytes of nibbles;    x = d * (q - 8)
//   q4_1: d, m, 16 bytes of nibbles; x = d * q + m
//   q8_0: d, 32 signed bytes;        x = d * q
#pragma once

#include <layerhub/sdk/dtype.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace layerhub::sdk {

struct BlockFormat {
  std::string_view name;
  std::int64_t elements;  // of one block
  std::int64_t bytes;     // of one block
  // Writes `elements` floats; exact, since each is one product and one sum of short numbers in float.
  void (*dequantize)(const std::uint8_t* block, float* out);
};

namespace detail {

inline float half_at(const std::uint8_t* bytes) {
  float16 value;
  std::memcpy(&value, bytes, sizeof value);
  return to_float(value);
}

inline void dequantize_q4_0(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block[2 + i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((block[2 + i] >> 4) - 8);
  }
}

inline void dequantize_q4_1(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(block[4 + i] & 15) + m;
    out[i + 16] = d * static_cast<float>(block[4 + i] >> 4) + m;
  }
}

inline void dequantize_q8_0(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  for (int i = 0; i < 32; ++i) {
    out[i] = d * static_cast<float>(static_cast<std::int8_t>(block[2 + i]));
  }
}

}  // namespace detail

inline constexpr std::array block_formats{
    BlockFormat{"gguf.q4_0", 32, 18, &detail::dequantize_q4_0},
    BlockFormat{"gguf.q4_1", 32, 20, &detail::dequantize_q4_1},
    BlockFormat{"gguf.q8_0", 32, 34, &detail::dequantize_q8_0},
};

// NULL for a name that the table does not have.
constexpr const BlockFormat* find_block_format(std::string_view name) {
  for (const BlockFormat& format : block_formats) {
    if (format.name == name) {
      return &format;
    }
  }
  return nullptr;
}

}  // namespace layerhub::sdk
