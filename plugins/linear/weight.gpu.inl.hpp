// SPDX-License-Identifier: Apache-2.0
// A weight as the products on CUDA and HIP read it: plain floats where the host keeps them, block formats in planes.
//
// A chunk is what a thread of the matrix-vector product loads at once: 16 bytes of numbers (32 of float) and the scale
// that belongs to them. An eight is the part of a chunk that is multiplied at once. Both are kept as they were loaded
// until they are needed, so that loads are under way while others are multiplied.
//
// code() gives an eight as floats c of which an element is scale * c + offset: a sum of products with x is then scale *
// sum(c x) + offset * sum(x), with one multiply-add for an element and one correction for a chunk.
#pragma once

#include <layerhub/sdk/gpu_floats.hpp>

#include <type_traits>

namespace layerhub::linear {

using namespace layerhub::sdk;

struct Affine {
  float scale, offset;
};

template <class T>
class FloatWeight {
 public:
  using Eight = gpu::Eight<T>;
  using Chunk = Eight;
  static constexpr int eights_of_chunk = 1;
  static constexpr bool is_scaled = false;  // an element is its code
  static constexpr bool has_offset = false;
  // How many numbers of the 16-bit float X have an element as their sum; 0: it is not to be had by them.
  template <class X>
  static constexpr int parts = std::is_same_v<X, T> ? 1 : 0;

  FloatWeight() = default;
  explicit FloatWeight(const DLTensor& weight)
      : elements_(data<const T>(weight)),
        pitch_(weight.strides[0]),
        columns_(static_cast<int>(weight.shape[1])),
        is_aligned_(gpu::rows_of<const T>(weight).takes_packs(0)) {}

  __device__ Chunk load_chunk(int row, int chunk) const { return load_eight(row, chunk); }
  __device__ Eight load_eight(int row, int index) const {
    return gpu::load_eight(elements_ + row * pitch_ + index * 8, columns_ - index * 8, is_aligned_);
  }
  __device__ static const Eight& eight_of(const Chunk& chunk, int) { return chunk; }
  __device__ static void code(const Eight& eight, float (&codes)[8]) { gpu::widen(eight, codes); }
  __device__ static Affine affine(const Chunk&) { return {1, 0}; }

 private:
  const T* elements_ = nullptr;
  std::int64_t pitch_ = 0;  // from a row to the next
  int columns_ = 0;
  bool is_aligned_ = false;
};

// Blocks of 32 elements of `bits` bits, as pack() lays them out: a plane with the numbers of all blocks, element i of
// an eight in bits i * bits of its words, and a plane with a block's scale d and, for q4_1, m behind it.
//
// A number q of four bits becomes a float by being put into the mantissa of 1: c = 1 + q / 16, two integer operations
// where a conversion would take longer than the multiply-add.
template <int bits>
class BlockWeight {
 public:
  static constexpr int block = 32;
  static constexpr int words_of_eight = bits / 4;
  static constexpr int eights_of_chunk = 4 / words_of_eight;
  static constexpr bool is_scaled = true;
  static constexpr bool has_offset = bits == 4;
  // One alone would be off by 1/512 of an element, as bfloat16, and sums of many large products by more than they are.
  template <class X>
  static constexpr int parts = 2;

  struct Header {
    float16 scale, minimum;
  };
  struct Eight {
    std::uint32_t words[words_of_eight];
    Header header;
  };
  struct Chunk {
    gpu::Pack<std::uint32_t> words;
    Header header;
  };

  static constexpr std::int64_t number_bytes = block * bits / 8;  // of a block

  BlockWeight() = default;
  // memory: as many bytes as the file has for the weight, aligned to 16.
  BlockWeight(std::byte* memory, std::int64_t rows, int blocks, bool has_minimum)
      : words_(reinterpret_cast<std::uint32_t*>(memory)),
        headers_(memory + rows * blocks * number_bytes),
        blocks_(blocks),
        has_minimum_(has_minimum) {}

  __device__ Chunk load_chunk(int row, int chunk) const {
    const std::int64_t at = first_block(row) * (number_bytes / 16) + chunk;
    return {gpu::load_pack(words_ + at * 4), header(first_block(row) + chunk * 8 * eights_of_chunk / block)};
  }
  __device__ Eight load_eight(int row, int index) const {
    const std::uint32_t* from = words_ + (first_block(row) * (block / 8) + index) * words_of_eight;
    Eight eight;
#pragma unroll
    for (int i = 0; i < words_of_eight; ++i) {
      eight.words[i] = from[i];
    }
    eight.header = header(first_block(row) + index / (block / 8));
    return eight;
  }
  __device__ static Eight eight_of(const Chunk& chunk, int index) {
    Eight eight;
#pragma unroll
    for (int i = 0; i < words_of_eight; ++i) {
      eight.words[i] = chunk.words[index * words_of_eight + i];
    }
    eight.header = chunk.header;
    return eight;
  }

  __device__ static void code(const Eight& eight, float (&codes)[8]) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if constexpr (bits == 4) {
        constexpr int mantissa = 23;
        const int shift = mantissa - 4 - 4 * i;
        const std::uint32_t moved = shift >= 0 ? eight.words[0] << shift : eight.words[0] >> -shift;
        codes[i] = __builtin_bit_cast(float, (moved & (15u << (mantissa - 4))) | 0x3f800000u);
      } else {
        codes[i] = static_cast<float>(static_cast<std::int8_t>(eight.words[i / 4] >> (i % 4 * 8)));
      }
    }
  }
  // q4_0: d (q - 8); q4_1: d q + m; q8_0: d q.
  template <class Loaded>
  __device__ Affine affine(const Loaded& loaded) const {
    const float d = gpu::widen(loaded.header.scale);
    if constexpr (bits == 8) {
      return {d, 0};
    } else {
      return {16 * d, (has_minimum_ ? gpu::widen(loaded.header.minimum) : -8 * d) - 16 * d};
    }
  }

  // Block `index` of all blocks, from the bytes of the file, see sdk/formats.hpp.
  __device__ void pack(std::int64_t index, const std::uint8_t* from) const {
    const int header_bytes = has_minimum_ ? 4 : 2;
    std::uint8_t* header = reinterpret_cast<std::uint8_t*>(headers_) + index * header_bytes;
    for (int i = 0; i < header_bytes; ++i) {
      header[i] = from[i];
    }
    const std::uint8_t* numbers = from + header_bytes;
    std::uint32_t* to = words_ + index * (number_bytes / 4);
    for (int word = 0; word < number_bytes / 4; ++word) {
      std::uint32_t packed = 0;
      for (int i = 0; i < 32 / bits; ++i) {
        const int element = word * (32 / bits) + i;
        const std::uint32_t number = bits == 8 ? numbers[element] : (numbers[element % 16] >> (element / 16 * 4)) & 15u;
        packed |= number << (i * bits);
      }
      to[word] = packed;
    }
  }

 private:
  __device__ std::int64_t first_block(int row) const { return static_cast<std::int64_t>(row) * blocks_; }
  __device__ Header header(std::int64_t block_index) const {
    if (has_minimum_) {
      const std::uint32_t both = reinterpret_cast<const std::uint32_t*>(headers_)[block_index];
      return {{static_cast<std::uint16_t>(both)}, {static_cast<std::uint16_t>(both >> 16)}};
    }
    return {reinterpret_cast<const float16*>(headers_)[block_index], {}};
  }

  std::uint32_t* words_ = nullptr;
  std::byte* headers_ = nullptr;
  int blocks_ = 0;            // of a row
  bool has_minimum_ = false;  // q4_1
};

}  // namespace layerhub::linear
