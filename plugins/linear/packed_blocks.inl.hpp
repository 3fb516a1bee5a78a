// SPDX-License-Identifier: Apache-2.0
// What a block of a packed tile holds, in registers: where a product reads weights from. A part is as many outputs of
// the tile as a register has lanes.
#pragma once

#include "byte_dot.inl.hpp"
#include "packed_rows.hpp"

#include <layerhub/sdk/vector.hpp>

#include <cstdint>

namespace {

using layerhub::linear::Codes;
using layerhub::linear::line_bytes;
using layerhub::linear::PackedRows;
using layerhub::linear::tile_rows;

constexpr int parts = line_bytes / vector_bytes;  // registers that a line takes

Floats scales_at(const std::uint8_t* record, int part) {
  return load(reinterpret_cast<const float16*>(record) + part * lanes, Whole{});
}

// What columns 4v.. and 16 + 4v.. of a block are multiplied with.
struct Pair {
  Bytes low, high;
};

template <Codes of>
struct Packed {
  static constexpr Codes codes = of;
  static constexpr std::int64_t block_bytes = PackedRows::block_bytes(codes);

  static Floats scales(const std::uint8_t* record, int part) { return scales_at(record, part); }
  static Floats offsets(const std::uint8_t* record, int part) {
    if constexpr (codes == Codes::nibbles_with_offset) {
      return scales_at(record + 2 * tile_rows, part);
    } else {
      return scales(record, part) * (codes == Codes::nibbles ? -8.f : bytes_offset);
    }
  }
  // by_16: high nibbles may stay where they are, 16 times what they stand for.
  template <bool by_16 = false>
  static Pair pair(const std::uint8_t* record, int part, int v) {
    const std::uint8_t* lines = record + PackedRows::header_bytes(codes) + part * vector_bytes;
    const Bytes line = load_bytes(lines + v * line_bytes);
    if constexpr (codes == Codes::bytes) {
      return {line, load_bytes(lines + (v + 4) * line_bytes)};
    } else {
      return {low_nibbles(line), by_16 ? high_nibbles_by_16(line) : high_nibbles(line)};
    }
  }
};

// A block's codes of one column, for the outputs of a part.
template <Codes codes>
Integers column_codes(const std::uint8_t* record, int part, unsigned column) {
  const std::uint8_t* lines = record + PackedRows::header_bytes(codes) + part * vector_bytes;
  if constexpr (codes == Codes::bytes) {
    const auto four = reinterpret_cast<Integers>(load_bytes(lines + column / 4 * line_bytes));
    return four << static_cast<int>(24 - 8 * (column % 4)) >> 24;
  } else {
    const auto eight = reinterpret_cast<Bits>(load_bytes(lines + column % 16 / 4 * line_bytes));
    return reinterpret_cast<Integers>(eight >> (8 * (column % 4) + 4 * (column / 16)) & 15);
  }
}

}  // namespace
