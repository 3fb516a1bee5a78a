// SPDX-License-Identifier: Apache-2.0
// How many rows are multiplied where the processor multiplies matrices: a packed tile is unpacked to bfloat16, scales
// and all, in pieces that stay near, and matrices of 16 rows of activations pass by.
//
// Sums stay in registers for a whole piece and are added up in float32: nothing is left to do afterwards. Two matrices
// of rows and two of outputs are multiplied together, so that each is loaded half as often.
//
// Rounding a weight to bfloat16 changes it by 1/512 at most: less than rounding 32 activations to 8 bits by their
// largest, which is what the products of bytes do.
#pragma once

#include "packed_blocks.inl.hpp"
#include "rounded_rows.hpp"

#include <layerhub/sdk/tile_registers.hpp>
#include <layerhub/sdk/vector.hpp>

#include <algorithm>
#include <cstdint>

namespace {

using namespace layerhub::sdk;
using layerhub::linear::matrix_rows;
using layerhub::linear::RoundedRows;

constexpr std::int64_t matrix_bytes = 64 * matrix_rows;
constexpr std::int64_t unpacked_bytes = parts * matrix_bytes;  // of a block

// Elements 2k and 2k + 1 of each output, from two vectors of the outputs.
Shorts interleaved(Floats even, Floats odd) {
  const auto both =
      reinterpret_cast<Shorts>(_mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(odd), reinterpret_cast<__m512>(even)));
  return shuffled<[](int i) { return i / 2 + i % 2 * lanes; }>(both, both);
}

// A block's matrices, one after the other.
template <Codes codes>
void unpack_matrices(const std::uint8_t* record, std::uint8_t* to) {
  for (int part = 0; part < parts; ++part) {
    const Floats scales = Packed<codes>::scales(record, part), offsets = Packed<codes>::offsets(record, part);
#pragma GCC unroll 16
    for (unsigned k = 0; k < matrix_rows; ++k, to += 64) {
      const auto weights = [&](unsigned column) {
        const Floats scaled = __builtin_convertvector(column_codes<codes>(record, part, column), Floats) * scales;
        return codes == Codes::bytes ? scaled : scaled + offsets;  // bytes are signed here
      };
      store_bytes(to, reinterpret_cast<Bytes>(interleaved(weights(2 * k), weights(2 * k + 1))));
    }
  }
}

// Registers: sums of a matrix of rows in 0 and 1, of a second in 2 and 3; activations in 4 and 5, weights in 6 and 7.
TileShapes shapes_of(std::int64_t rows, std::int64_t more_rows) {
  constexpr int bytes = 64;
  TileShapes shapes;
  for (int index : {0, 1, 4}) {
    shapes.set(index, static_cast<int>(rows), bytes);
  }
  for (int index : {2, 3, 5}) {
    shapes.set(index, static_cast<int>(more_rows), bytes);
  }
  for (int index : {6, 7}) {
    shapes.set(index, matrix_rows, bytes);
  }
  return shapes;
}

// sums[r * tile_rows + output] += one or two matrices of rows times `blocks` blocks, or = where they are the first.
template <bool two>
void add_matrix_products(TileRegisters& registers, const RoundedRows& x, std::int64_t index, std::int64_t first_block,
                         std::int64_t blocks, const std::uint8_t* weights, float* sums) {
  constexpr std::int64_t step = tile_rows * sizeof(float);
  float* more_sums = sums + matrix_rows * tile_rows;
  if (first_block == 0) {
    registers.clear<0>();
    registers.clear<1>();
    if constexpr (two) {
      registers.clear<2>();
      registers.clear<3>();
    }
  } else {
    registers.load<0>(sums, step);
    registers.load<1>(sums + lanes, step);
    if constexpr (two) {
      registers.load<2>(more_sums, step);
      registers.load<3>(more_sums + lanes, step);
    }
  }
  for (std::int64_t b = 0; b < blocks; ++b, weights += unpacked_bytes) {
    registers.load<4>(x.matrix(index, first_block + b), 64);
    registers.load<6>(weights, 64);
    registers.load<7>(weights + matrix_bytes, 64);
    registers.add_bfloat16_products<0, 4, 6>();
    registers.add_bfloat16_products<1, 4, 7>();
    if constexpr (two) {
      registers.load<5>(x.matrix(index + 1, first_block + b), 64);
      registers.add_bfloat16_products<2, 5, 6>();
      registers.add_bfloat16_products<3, 5, 7>();
    }
  }
  registers.store<0>(sums, step);
  registers.store<1>(sums + lanes, step);
  if constexpr (two) {
    registers.store<2>(more_sums, step);
    registers.store<3>(more_sums + lanes, step);
  }
}

template <Codes codes>
void multiply_matrices(const std::uint8_t* tile, const RoundedRows& x, std::int64_t first, std::int64_t count,
                       float* sums) {
  constexpr std::int64_t most_blocks = 9;  // 18 KiB: what passes by has the rest of the nearest cache
  alignas(64) std::uint8_t unpacked[most_blocks * unpacked_bytes];
  TileRegisters registers;
  const std::int64_t pieces = std::max<std::int64_t>((x.blocks() + most_blocks - 1) / most_blocks, 1);
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    const std::int64_t begin = x.blocks() * piece / pieces, end = x.blocks() * (piece + 1) / pieces;
    for (std::int64_t b = begin; b < end; ++b) {
      unpack_matrices<codes>(tile + b * Packed<codes>::block_bytes, unpacked + (b - begin) * unpacked_bytes);
    }
    registers.configure(shapes_of(matrix_rows, matrix_rows));
    for (std::int64_t r = 0; r < count; r += 2 * matrix_rows) {
      const std::int64_t index = (first + r) / matrix_rows;
      const std::int64_t rows = x.rows_of_matrix(index);
      const std::int64_t more_rows = std::min<std::int64_t>(count - r - rows, matrix_rows);
      if (more_rows < matrix_rows) {
        registers.configure(shapes_of(rows, more_rows));
      }
      auto* add = more_rows > 0 ? &add_matrix_products<true> : &add_matrix_products<false>;
      add(registers, x, index, begin, end - begin, unpacked, sums + r * tile_rows);
    }
  }
}

void multiply_matrices(const PackedRows& weight, std::int64_t tile, const RoundedRows& x, std::int64_t first,
                       std::int64_t count, float* sums) {
  const std::uint8_t* from = weight.tile(tile);
  switch (weight.codes()) {
    case Codes::nibbles: return multiply_matrices<Codes::nibbles>(from, x, first, count, sums);
    case Codes::nibbles_with_offset: return multiply_matrices<Codes::nibbles_with_offset>(from, x, first, count, sums);
    case Codes::bytes: return multiply_matrices<Codes::bytes>(from, x, first, count, sums);
  }
}

}  // namespace
