// SPDX-License-Identifier: Apache-2.0
// Activations in 8 bits: per block of 32 one scale, 1/127 of the block's largest.
//
// Rows are kept in groups of as many as one pass of a product takes. A group's record of a block holds what the product
// broadcasts, in the order in which it does: the rows' 32 bytes each, then their scales, then scale times sum of each
// (what an offset of the weight is multiplied with; an outlier is in it). So a product reads one stream. The last group
// may be smaller.
//
// The largest of a block decides how finely the others are rounded, and models have blocks in which one element is far
// above the rest: few, but nearly all of the rounding's error is theirs. An element with more than three quarters of
// its block's energy is an outlier: it is kept as float, multiplied on its own, and the block is rounded without it.
//
// A NaN or infinity makes its block's scale one, and so no output is finite, as in float; so does a block whose scale
// times its sum is more than a float holds, which takes numbers above 1e37.
//
// Where the processor multiplies matrices (AMX), many rows are kept in bfloat16 instead: that is finer than 8 bits with
// one scale for 32, and products with it need no scale afterwards. 16 rows are a group, whose record of a block is a
// matrix: the rows' 64 bytes each. All rows or none are kept so.
#pragma once

#include <layerhub/sdk/vector.hpp>

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

namespace layerhub::linear {

inline constexpr int group_rows = 4;
inline constexpr int rounded_block = 32;  // elements of a block
inline constexpr int matrix_rows = 16;    // at most, of a matrix of activations

// Rows from which on they are matrices: fewer don't make up for unpacking the weights to bfloat16.
#if defined(__AMX_BF16__)
inline constexpr std::int64_t least_rows_of_matrices = 32;
#else
inline constexpr std::int64_t least_rows_of_matrices = std::numeric_limits<std::int64_t>::max();
#endif

namespace detail {

using sdk::Floats;
using sdk::Integers;
using sdk::lanes;

inline constexpr int vectors_of_block = rounded_block / lanes;

// Of numbers that are not negative.
inline std::int32_t largest_lane(Integers v) {
#ifdef LAYERHUB_VECTOR_AVX512
  __m256i halves[2];  // by memory: g++ 12 warns of what its intrinsic for the upper half leaves undefined
  std::memcpy(halves, &v, sizeof v);
  const __m256i half = _mm256_max_epi32(halves[0], halves[1]);
  const __m128i quarter = _mm_max_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
#elif defined(__AVX2__)
  const auto half = reinterpret_cast<__m256i>(v);
  const __m128i quarter = _mm_max_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
#else
  const auto quarter = reinterpret_cast<__m128i>(v);
#endif
  const __m128i pair = _mm_max_epi32(quarter, _mm_unpackhi_epi64(quarter, quarter));
  return _mm_cvtsi128_si32(_mm_max_epi32(pair, _mm_shuffle_epi32(pair, 1)));
}

// The largest magnitude of a block. By the bits, which are in the order of the magnitudes; NaN is above all.
inline float largest_magnitude(const Floats* values) {
  Integers largest{};
  for (int i = 0; i < vectors_of_block; ++i) {
    const Integers magnitude = reinterpret_cast<Integers>(values[i]) & 0x7fffffff;
    largest = largest > magnitude ? largest : magnitude;
  }
  return std::bit_cast<float>(largest_lane(largest));
}

// The integers of a block, each within [-127, 127], as bytes. Returns their sum.
inline std::int32_t store_bytes(std::int8_t* to, const Integers* v) {
  __m128i halves[2];
#ifdef LAYERHUB_VECTOR_AVX512
  for (int i = 0; i < 2; ++i) {
    halves[i] = _mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(v[i]));
  }
#elif defined(__AVX2__)
  // Both packs work within halves of 16 bytes; the permutation puts the units of four bytes in order again.
  const auto at = [&](int i) { return reinterpret_cast<__m256i>(v[i]); };
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(at(0), at(1)), _mm256_packs_epi32(at(2), at(3)));
  const __m256i bytes = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  halves[0] = _mm256_castsi256_si128(bytes);
  halves[1] = _mm256_extracti128_si256(bytes, 1);
#else
  const auto at = [&](int i) { return reinterpret_cast<__m128i>(v[i]); };
  for (int i = 0; i < 2; ++i) {
    halves[i] =
        _mm_packs_epi16(_mm_packs_epi32(at(4 * i), at(4 * i + 1)), _mm_packs_epi32(at(4 * i + 2), at(4 * i + 3)));
  }
#endif
  __m128i sums = _mm_setzero_si128();
  const __m128i sign = _mm_set1_epi8(-128);  // vpsadbw adds unsigned bytes: each is taken with 128 more
  for (int i = 0; i < 2; ++i) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to) + i, halves[i]);
    sums = _mm_add_epi32(sums, _mm_sad_epu8(_mm_xor_si128(halves[i], sign), _mm_setzero_si128()));
  }
  return _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums))) - 128 * rounded_block;
}

}  // namespace detail

class RoundedRows {
 public:
  static std::size_t bytes(std::int64_t rows, std::int64_t blocks) {
    return static_cast<std::size_t>(rows < least_rows_of_matrices
                                        ? rows * (blocks * bytes_of_row + outlier_bytes(blocks))
                                        : rows * blocks * bytes_of_matrix_row);
  }
  // memory: bytes(rows, blocks) of them, 8-byte aligned; 64-byte aligned it is faster.
  RoundedRows(void* memory, std::int64_t rows, std::int64_t blocks)
      : memory_(static_cast<std::byte*>(memory)), rows_(rows), blocks_(blocks) {}

  std::int64_t rows() const { return rows_; }
  std::int64_t blocks() const { return blocks_; }
  int rows_of_group(std::int64_t group) const { return rows_of(group, group_rows); }
  std::byte* record(std::int64_t group, std::int64_t block) const {
    return memory_ + (group * group_rows * blocks_ + rows_of_group(group) * block) * bytes_of_row;
  }

  // Whether the rows are matrices; of one, its rows and where it is: bfloat16 [rows_of_matrix, rounded_block].
  bool are_matrices() const { return rows_ >= least_rows_of_matrices; }
  int rows_of_matrix(std::int64_t index) const { return rows_of(index, matrix_rows); }
  std::byte* matrix(std::int64_t index, std::int64_t block) const {
    return memory_ + (index * matrix_rows * blocks_ + rows_of_matrix(index) * block) * bytes_of_matrix_row;
  }

  // Of a record of `count` rows.
  static constexpr std::int64_t record_bytes(int count) { return count * bytes_of_row; }
  static const std::int8_t* values(const std::byte* record, int row) {
    return reinterpret_cast<const std::int8_t*>(record) + row * rounded_block;
  }
  static const float* scales(const std::byte* record, int count) {
    return reinterpret_cast<const float*>(record + count * rounded_block);
  }
  static const float* scaled_sums(const std::byte* record, int count) { return scales(record, count) + count; }

  // For each block of a row 1 + the index of its outlier, or 0; padded with zeros to a multiple of 8 blocks.
  std::uint8_t* outlier_places(std::int64_t row) const {
    return reinterpret_cast<std::uint8_t*>(memory_ + rows_ * blocks_ * bytes_of_row + row * outlier_bytes(blocks_));
  }
  // Their values, where there is one.
  float* outliers(std::int64_t row) const {
    return reinterpret_cast<float*>(outlier_places(row) + padded_to_8(blocks_));
  }

  void round_row(std::int64_t row, const float* x) const {
    for (std::int64_t b = 0; b < blocks_; ++b) {
      round_block(row, b, x + b * rounded_block);
    }
  }

  // 32 activations of one row.
  void round_block(std::int64_t row, std::int64_t block, const float* x) const {
    if (are_matrices()) {
      round_to_bfloat16(x, matrix(row / matrix_rows, block) + row % matrix_rows * bytes_of_matrix_row);
    } else {
      round_to_bytes(row, block, x);
    }
  }

 private:
  static constexpr std::int64_t bytes_of_row = rounded_block + 2 * sizeof(float);  // in a record
  static constexpr std::int64_t bytes_of_matrix_row = rounded_block * sizeof(std::uint16_t);

  // Of the index-th `most` rows.
  int rows_of(std::int64_t index, int most) const {
    const std::int64_t left = rows_ - index * most;
    return static_cast<int>(left < most ? left : most);
  }

  static void round_to_bfloat16(const float* x, std::byte* to) {
    sdk::write(reinterpret_cast<sdk::bfloat16*>(to), rounded_block, false,
               [&](std::int64_t i, auto extent) { return sdk::load(x + i, extent); });
  }

  void round_to_bytes(std::int64_t row, std::int64_t block, const float* x) const {
    using namespace detail;
    Floats values[vectors_of_block], squares{};
    for (int i = 0; i < vectors_of_block; ++i) {
      values[i] = sdk::load(x + i * lanes, sdk::Whole{});
      squares += values[i] * values[i];
    }
    float largest = largest_magnitude(values), outlier = 0;
    std::uint8_t* place = outlier_places(row) + block;
    std::memset(place, 0, block + 1 < blocks_ ? 1 : static_cast<std::size_t>(padded_to_8(blocks_) - block));
    if (largest * largest > 0.75f * sdk::sum(squares)) [[unlikely]] {
      outlier = take_outlier(row, block, x, largest, values);
      largest = largest_magnitude(values);
    }
    const float scale = largest / 127;
    const float inverse = scale > 0 ? 1 / scale : 0;
    Integers rounded[vectors_of_block];
    for (int i = 0; i < vectors_of_block; ++i) {
      // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
      rounded[i] = reinterpret_cast<Integers>(values[i] * inverse + 0x1.8p23f) - 0x4b400000;
    }
    const int count = rows_of_group(row / group_rows);
    const int index = static_cast<int>(row % group_rows);
    std::byte* to = record(row / group_rows, block);
    const std::int32_t sum = store_bytes(reinterpret_cast<std::int8_t*>(to) + index * rounded_block, rounded);
    const float numbers[2] = {scale, scale * static_cast<float>(sum) + outlier};
    std::memcpy(to + count * rounded_block + 4 * index, &numbers[0], 4);
    std::memcpy(to + count * rounded_block + 4 * (count + index), &numbers[1], 4);
  }

  static constexpr std::int64_t padded_to_8(std::int64_t n) { return (n + 7) / 8 * 8; }
  static constexpr std::int64_t outlier_bytes(std::int64_t blocks) {
    return padded_to_8(blocks) * (1 + static_cast<std::int64_t>(sizeof(float)));
  }

  // Notes the element whose magnitude is `largest` and leaves 0 in its place among the values. Returns it.
  [[gnu::noinline]] float take_outlier(std::int64_t row, std::int64_t block, const float* x, float largest,
                                       sdk::Floats* values) const {
    int place = 0;
    while (x[place] != largest && x[place] != -largest) {
      ++place;
    }
    outlier_places(row)[block] = static_cast<std::uint8_t>(1 + place);
    outliers(row)[block] = x[place];
    values[place / sdk::lanes][place % sdk::lanes] = 0;
    return x[place];
  }

  std::byte* memory_;
  std::int64_t rows_, blocks_;
};

}  // namespace layerhub::linear
