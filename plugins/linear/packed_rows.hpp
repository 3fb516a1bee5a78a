// SPDX-License-Identifier: Apache-2.0
// A block-quantized weight as the products read it: 32 rows interleaved, in as many bytes as the file has.
//
// A tile is 32 rows. For each block of 32 columns it has the 32 scales, the 32 offsets (q4_1), then lines of 128 bytes,
// each four consecutive elements of the 32 rows. Of a 4-bit format line v holds elements 4v.. in its low and 16 + 4v..
// in its high nibbles, as the file's bytes do. So one pass over a tile is one forward read, and every product lands in
// its row's lane: no sum across lanes is ever taken. Rows beyond the last are 0. 32 rows are two registers of the
// widest level, which share each activation, and one block of the columns of a layer that follows.
//
// Packing is a transposition of 4-byte units, made by the host's threads at the speed of memory: it stands between the
// start of a process and its first token.
#pragma once

#include "arena.hpp"
#include "tile_rows.hpp"

#include <layerhub/sdk/call.hpp>
#include <layerhub/sdk/formats.hpp>

#include <cstdint>
#include <string_view>

namespace layerhub::linear {

inline constexpr std::int64_t line_bytes = 4 * tile_rows;
inline constexpr std::int64_t block_size = 32;

// How a block's elements are coded.
enum class Codes : std::uint8_t {
  nibbles,              // q4_0: d * (q - 8)
  nibbles_with_offset,  // q4_1: d * q + m
  bytes,                // q8_0: d * q, q signed
};

class PackedRows {
 public:
  // Of the param `name`; throws Failure with LH_DECLINED where it is of no block format.
  PackedRows(const sdk::CreateArgs& args, std::string_view name);

  Codes codes() const { return codes_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t blocks() const { return blocks_; }
  std::int64_t columns() const { return blocks_ * block_size; }
  std::int64_t tiles() const { return (rows_ + tile_rows - 1) / tile_rows; }
  std::int64_t tile_bytes() const { return blocks_ * block_bytes(codes_); }
  const std::uint8_t* tile(std::int64_t index) const { return memory_.data() + index * tile_bytes(); }

  static constexpr std::int64_t header_bytes(Codes codes) {
    return (codes == Codes::nibbles_with_offset ? 2 : 1) * 2 * tile_rows;
  }
  static constexpr std::int64_t block_bytes(Codes codes) {
    return header_bytes(codes) + (codes == Codes::bytes ? 8 : 4) * line_bytes;
  }

 private:
  Codes codes_;
  std::int64_t rows_, blocks_;
  ArenaMemory memory_;
};

}  // namespace layerhub::linear
