// SPDX-License-Identifier: Apache-2.0
#include "packed_rows.hpp"

#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/tensor.hpp>

#include <emmintrin.h>

#include <algorithm>
#include <cstring>

namespace layerhub::linear {
namespace {

constexpr std::int64_t least_bytes_per_worker = 1 << 16;

__m128i load_16_bytes(const std::uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }

// 16 bytes of each of four rows become 16 bytes of each of four lines: unit v of row r goes to unit r of line v.
void transpose_units(const std::uint8_t* const rows[4], std::int64_t offset, std::uint8_t* lines) {
  const __m128i a = load_16_bytes(rows[0] + offset), b = load_16_bytes(rows[1] + offset);
  const __m128i c = load_16_bytes(rows[2] + offset), d = load_16_bytes(rows[3] + offset);
  const __m128i ab_low = _mm_unpacklo_epi32(a, b), ab_high = _mm_unpackhi_epi32(a, b);
  const __m128i cd_low = _mm_unpacklo_epi32(c, d), cd_high = _mm_unpackhi_epi32(c, d);
  const auto line = [&](int v) { return reinterpret_cast<__m128i*>(lines + v * line_bytes); };
  _mm_storeu_si128(line(0), _mm_unpacklo_epi64(ab_low, cd_low));
  _mm_storeu_si128(line(1), _mm_unpackhi_epi64(ab_low, cd_low));
  _mm_storeu_si128(line(2), _mm_unpacklo_epi64(ab_high, cd_high));
  _mm_storeu_si128(line(3), _mm_unpackhi_epi64(ab_high, cd_high));
}

// One block of a tile. rows: where each row's block begins in the file's layout.
template <Codes codes>
void pack_block(const std::uint8_t* const rows[tile_rows], std::uint8_t* to) {
  constexpr std::int64_t file_header = codes == Codes::nibbles_with_offset ? 4 : 2;
  for (std::int64_t r = 0; r < tile_rows; ++r) {
    std::memcpy(to + 2 * r, rows[r], 2);
    if constexpr (codes == Codes::nibbles_with_offset) {
      std::memcpy(to + 2 * (tile_rows + r), rows[r] + 2, 2);
    }
  }
  std::uint8_t* lines = to + PackedRows::header_bytes(codes);
  for (std::int64_t r = 0; r < tile_rows; r += 4) {
    transpose_units(rows + r, file_header, lines + 4 * r);
    if constexpr (codes == Codes::bytes) {
      transpose_units(rows + r, file_header + 16, lines + 4 * line_bytes + 4 * r);
    }
  }
}

template <Codes codes>
void pack_tile(const DLTensor& weight, std::int64_t tile, std::int64_t blocks, std::int64_t file_bytes,
               std::uint8_t* to) {
  static constexpr std::uint8_t zeros[40] = {};  // a block of a row that is not there
  const std::uint8_t* rows[tile_rows];
  std::int64_t steps[tile_rows];
  for (std::int64_t r = 0; r < tile_rows; ++r) {
    const bool exists = tile * tile_rows + r < weight.shape[0];
    rows[r] = exists ? sdk::row<const std::uint8_t>(weight, tile * tile_rows + r) : zeros;
    steps[r] = exists ? file_bytes : 0;
  }
  for (std::int64_t b = 0; b < blocks; ++b, to += PackedRows::block_bytes(codes)) {
    pack_block<codes>(rows, to);
    for (std::int64_t r = 0; r < tile_rows; ++r) {
      rows[r] += steps[r];
    }
  }
}

const sdk::BlockFormat& format_of(const sdk::CreateArgs& args, std::string_view name) {
  const sdk::BlockFormat* format = sdk::find_block_format(args.param_format(name));
  if (format == nullptr) {
    throw sdk::Failure(LH_DECLINED, "the param `" + std::string(name) + "` is of no block format");
  }
  return *format;
}

Codes codes_of(const sdk::BlockFormat& format) {
  return format.name == "gguf.q8_0"   ? Codes::bytes
         : format.name == "gguf.q4_1" ? Codes::nibbles_with_offset
                                      : Codes::nibbles;
}

}  // namespace

PackedRows::PackedRows(const sdk::CreateArgs& args, std::string_view name) {
  const sdk::BlockFormat& format = format_of(args, name);
  const DLTensor& weight = *args.param(name);
  codes_ = codes_of(format);
  rows_ = weight.shape[0];
  blocks_ = weight.shape[1] / format.bytes;
  memory_ = ArenaMemory(static_cast<std::size_t>(tiles() * tile_bytes()));
  const std::int64_t least = least_bytes_per_worker / (tile_bytes() + 1) + 1;
  sdk::parallel_ranges(args.host(), tiles(), least, 1, [&](sdk::Range range, std::uint32_t) {
    for (std::int64_t t = range.begin; t < range.end; ++t) {
      std::uint8_t* to = memory_.data() + t * tile_bytes();
      switch (codes_) {
        case Codes::nibbles: pack_tile<Codes::nibbles>(weight, t, blocks_, format.bytes, to); break;
        case Codes::nibbles_with_offset:
          pack_tile<Codes::nibbles_with_offset>(weight, t, blocks_, format.bytes, to);
          break;
        case Codes::bytes: pack_tile<Codes::bytes>(weight, t, blocks_, format.bytes, to); break;
      }
    }
  });
}

}  // namespace layerhub::linear
