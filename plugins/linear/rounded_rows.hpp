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
// None is where the squares leave what a float holds: above 1e19, below 1e-22.
//
// Where products are summed in 16 bits (no VNNI), the scales of many rows are whole multiples of a unit that each row
// has, 1/32767 of its largest scale or more: the instruction that widens the sums multiplies by them, where a scale in
// float is an instruction more for each block of the weight. A prompt takes 0.95 of the time with AVX2, on an AMD EPYC
// of the fifth generation. Products are then in units of their row. The unit is known when the row is: finish() comes
// after the last block.
//
// A NaN or infinity makes its block's scale or its row's unit one, and so no output is finite, as in float; so does,
// where there are no units, a block whose scale times its sum is more than a float holds: numbers above 1e37.
//
// Where the processor multiplies matrices (AMX), many rows are kept in bfloat16 instead: that is finer than 8 bits with
// one scale for 32, and products with it need no scale afterwards. 16 rows are a group, whose record of a block is a
// matrix: the rows' 64 bytes each. All rows or none are kept so.
#pragma once

#include "vnni.hpp"

#include <layerhub/sdk/vector.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

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

struct Outlier {
  static Outlier at(float value, std::int64_t block, std::int64_t row, std::int64_t column) {
    return {value, static_cast<std::uint32_t>((block * group_rows + row) * rounded_block + column)};
  }
  unsigned column() const { return place % rounded_block; }
  unsigned row() const { return place / rounded_block % group_rows; }  // of the group
  unsigned block() const { return place / rounded_block / group_rows; }

  float value;  // 0: there is none
  std::uint32_t place;
};

class RoundedRows {
 public:
  static std::size_t bytes(std::int64_t rows, std::int64_t blocks) {
    const std::int64_t groups = (rows + group_rows - 1) / group_rows;
    const std::int64_t used = rows < least_rows_of_matrices ? outliers_at(rows, blocks) + groups * outlier_bytes(blocks)
                                                            : rows * blocks * bytes_of_matrix_row;
    return static_cast<std::size_t>(padded(used, 64));  // so that what follows is as aligned as this
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
  // The scales where the rows have units: each as an integer of 15 bits, twice.
  static const std::int32_t* multiples(const std::byte* record, int count) {
    return reinterpret_cast<const std::int32_t*>(scales(record, count));
  }

  // Whether the rows' scales, and so products with them, are in units. A row's unit is followed by the next row's.
  bool have_units() const { return !has_vnni && rows_ > group_rows; }
  float* unit(std::int64_t row) const { return reinterpret_cast<float*>(memory_ + units_at(rows_, blocks_)) + row; }

  // Of the rows of a group, in their order and that of their blocks.
  std::span<const Outlier> outliers(std::int64_t group) const {
    return {outlier_slots(group), static_cast<std::size_t>(outlier_count(group))};
  }

  // All blocks of one row.
  void round_row(std::int64_t row, const float* x) const {
    for (std::int64_t b = 0; b < blocks_; ++b) {
      round_block(row, b, x + b * rounded_block);
    }
  }

  // 32 activations of one row, which is to be finished once all its blocks are rounded.
  void round_block(std::int64_t row, std::int64_t block, const float* x) const {
    if (are_matrices()) {
      round_to_bfloat16(x, matrix(row / matrix_rows, block) + row % matrix_rows * bytes_of_matrix_row);
    } else {
      round_to_bytes(row, block, x);
    }
  }

  // Once, after all of the group's rows are rounded: nothing of them is read before.
  void finish(std::int64_t group) const {
    if (!are_matrices()) {
      gather_outliers(group);
      if (have_units()) {
        count_in_units(group);
      }
    }
  }

 private:
  static constexpr std::int64_t bytes_of_row = rounded_block + 2 * sizeof(float);  // in a record
  static constexpr std::int64_t bytes_of_matrix_row = rounded_block * sizeof(std::uint16_t);

  static constexpr std::int64_t padded(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }
  // Behind the records stand the units, then each group's count of outliers and room for one of each block and row.
  static constexpr std::int64_t units_at(std::int64_t rows, std::int64_t blocks) {
    return rows * blocks * bytes_of_row;
  }
  static constexpr std::int64_t outliers_at(std::int64_t rows, std::int64_t blocks) {
    return padded(units_at(rows, blocks) + (has_vnni ? 0 : rows * static_cast<std::int64_t>(sizeof(float))), 8);
  }
  static constexpr std::int64_t outlier_bytes(std::int64_t blocks) {
    return sizeof(std::int64_t) + group_rows * blocks * static_cast<std::int64_t>(sizeof(Outlier));
  }
  std::int64_t& outlier_count(std::int64_t group) const {
    std::byte* at = memory_ + outliers_at(rows_, blocks_) + group * outlier_bytes(blocks_);
    return *reinterpret_cast<std::int64_t*>(at);
  }
  Outlier* outlier_slots(std::int64_t group) const { return reinterpret_cast<Outlier*>(&outlier_count(group) + 1); }

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
    float largest = largest_magnitude(values);
    Outlier outlier{};
    if (largest * largest > 0.75f * sdk::sum(squares)) [[unlikely]] {
      outlier = take_outlier(row, block, x, largest, values);
      largest = largest_magnitude(values);
    }
    outlier_slots(row / group_rows)[row % group_rows * blocks_ + block] = outlier;
    // NaN, where it is first, stays. The inverse is a float, and zeros' scale makes no denormal products.
    const float scale = largest == 0 ? 0 : std::max(largest / 127, 0x1p-126f);
    const float inverse = 1 / std::max(scale, 0x1p-126f);
    Integers rounded[vectors_of_block];
    for (int i = 0; i < vectors_of_block; ++i) {
      // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
      rounded[i] = reinterpret_cast<Integers>(values[i] * inverse + 0x1.8p23f) - 0x4b400000;
    }
    const int count = rows_of_group(row / group_rows);
    const int index = static_cast<int>(row % group_rows);
    std::byte* to = record(row / group_rows, block);
    const auto sum =
        static_cast<float>(store_bytes(reinterpret_cast<std::int8_t*>(to) + index * rounded_block, rounded));
    float* numbers = numbers_of(to, count);
    numbers[index] = scale;
    numbers[count + index] = have_units() ? sum : scale * sum + outlier.value;  // units are not known yet
  }

  // What follows a record's values: the rows' scales, their scaled sums.
  static float* numbers_of(std::byte* record, int count) {
    return reinterpret_cast<float*>(record + count * rounded_block);
  }

  // Moves a group's outliers together.
  void gather_outliers(std::int64_t group) const {
    Outlier* slots = outlier_slots(group);
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < rows_of_group(group) * blocks_; ++i) {
      slots[count] = slots[i];
      count += slots[i].value != 0;
    }
    outlier_count(group) = count;
  }

  // Makes a group's scales multiples of its rows' units, and of the sums of its bytes scaled ones.
  void count_in_units(std::int64_t group) const {
    using Four [[gnu::vector_size(4 * group_rows)]] = float;  // a lane for each row
    using FourIntegers [[gnu::vector_size(4 * group_rows)]] = std::int32_t;
    const int count = rows_of_group(group);
    const auto copy = [&](void* to, const void* from) {
      count == group_rows ? std::memcpy(to, from, sizeof(Four)) : std::memcpy(to, from, 4 * count);
    };
    FourIntegers largest{}, scales{};  // by their bits: NaN is above all
    for (std::int64_t b = 0; b < blocks_; ++b) {
      copy(&scales, numbers_of(record(group, b), count));
      largest = largest > scales ? largest : scales;
    }
    // An outlier in units is within what a float holds, and so is a unit's inverse.
    Four units = std::bit_cast<Four>(largest) / 32767;
    units = units < 0x1p-126f ? Four{} + 0x1p-126f : units;  // not where it is NaN
    for (const Outlier& outlier : outliers(group)) {
      const float least = std::abs(outlier.value) * 0x1p-100f;
      units[outlier.row()] = units[outlier.row()] < least ? least : units[outlier.row()];
    }
    copy(unit(group * group_rows), &units);
    const Four inverses = 1 / units;
    for (std::int64_t b = 0; b < blocks_; ++b) {
      float* numbers = numbers_of(record(group, b), count);
      Four scale{}, sum{};
      copy(&scale, numbers);
      copy(&sum, numbers + count);
      const FourIntegers multiple = std::bit_cast<FourIntegers>(scale * inverses + 0x1.8p23f) - 0x4b400000;
      const FourIntegers twice = multiple << 16 | (multiple & 0xffff);
      sum *= __builtin_convertvector(multiple, Four);
      copy(numbers, &twice);
      copy(numbers + count, &sum);
    }
    for (const Outlier& outlier : outliers(group)) {
      float* scaled_sums = numbers_of(record(group, outlier.block()), count) + count;
      scaled_sums[outlier.row()] += outlier.value * inverses[outlier.row()];
    }
  }

  // The element whose magnitude is `largest`; leaves 0 in its place among the values.
  [[gnu::noinline]] static Outlier take_outlier(std::int64_t row, std::int64_t block, const float* x, float largest,
                                                sdk::Floats* values) {
    int place = 0;
    while (x[place] != largest && x[place] != -largest) {
      ++place;
    }
    values[place / sdk::lanes][place % sdk::lanes] = 0;
    return Outlier::at(x[place], block, row % group_rows, place);
  }

  std::byte* memory_;
  std::int64_t rows_, blocks_;
};

}  // namespace layerhub::linear
