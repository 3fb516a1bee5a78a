// SPDX-License-Identifier: Apache-2.0
// Linear with block-quantized weights: integer products of 8-bit activations, one scale per block of 32.
//
// create() repacks the weight into tiles of 16 rows: for each block of 32 columns the 16 scales, the 16 offsets (4-bit
// formats), then lines of 64 bytes, each four consecutive elements of the 16 rows. Of a 4-bit format line v holds
// elements 4v.. in its low and 16 + 4v.. in its high nibbles. So one pass over a tile is one forward read of as
// many bytes as the file has, and every product lands in its row's lane: no sum across lanes is ever taken.
//
// A call rounds each input row to 8 bits per block (in the workspace) and walks the tiles; several rows share what is
// unpacked of a block. Error: that of the activations' rounding, see the tolerances.
#pragma once

#include "byte_dot.inl.hpp"

#include <layerhub/layers/linear.hpp>
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/formats.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include <sys/mman.h>

namespace {

constexpr std::int64_t tile_rows = 16;
constexpr std::int64_t block = 32;
constexpr int parts = 64 / vector_bytes;    // registers that a line of 64 bytes takes
constexpr std::int64_t shared_rows = 4;     // input rows that are computed at once
constexpr std::int64_t rows_in_cache = 64;  // input rows that stay near while tiles pass by
constexpr std::int64_t least_bytes_per_worker = 1 << 15;
constexpr std::int64_t header_floats = 2;  // of a block: its scale, and scale * sum (4 bits) or the sum (8 bits)

struct Free {
  void operator()(std::uint8_t* memory) const { std::free(memory); }
};

class PackedRows {
 public:
  PackedRows(const DLTensor& weight, const BlockFormat& format)
      : is_4_bit_(format.name != "gguf.q8_0"), rows_(weight.shape[0]), blocks_(weight.shape[1] / format.bytes) {
    const auto bytes = static_cast<std::size_t>(tiles() * tile_bytes());
    constexpr std::size_t huge_page = std::size_t{1} << 21;
    const std::size_t alignment = bytes >= huge_page ? huge_page : 64;
    memory_.reset(
        static_cast<std::uint8_t*>(std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment)));
    if (memory_ == nullptr) {
      throw std::bad_alloc();
    }
    if (bytes >= huge_page) {
      madvise(memory_.get(), bytes, MADV_HUGEPAGE);  // a wish: without it all is as before, but slower
    }
    std::memset(memory_.get(), 0, bytes);
    for (std::int64_t row = 0; row < rows_; ++row) {
      for (std::int64_t b = 0; b < blocks_; ++b) {
        pack_block(format, data<const std::uint8_t>(weight) + row * weight.strides[0] + b * format.bytes, row, b);
      }
    }
  }

  bool is_4_bit() const { return is_4_bit_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t blocks() const { return blocks_; }
  std::int64_t tiles() const { return (rows_ + tile_rows - 1) / tile_rows; }
  std::int64_t block_bytes() const { return is_4_bit_ ? 64 + 4 * 64 : 32 + 8 * 64; }
  std::int64_t tile_bytes() const { return blocks_ * block_bytes(); }
  const std::uint8_t* tile(std::int64_t index) const { return memory_.get() + index * tile_bytes(); }

 private:
  void pack_block(const BlockFormat& format, const std::uint8_t* from, std::int64_t row, std::int64_t b) {
    std::uint8_t* to = memory_.get() + row / tile_rows * tile_bytes() + b * block_bytes();
    const std::int64_t lane = row % tile_rows;
    float16 scale, offset;
    std::memcpy(&scale, from, 2);
    std::memcpy(to + 2 * lane, &scale, 2);
    if (!is_4_bit_) {
      for (int k = 0; k < block; ++k) {
        to[32 + k / 4 * 64 + lane * 4 + k % 4] = from[2 + k];
      }
      return;
    }
    const std::uint8_t* nibbles = from + format.bytes - 16;
    if (format.name == "gguf.q4_1") {
      std::memcpy(&offset, from + 2, 2);
    } else {
      offset = from_float<float16>(-8 * to_float(scale));  // q4_0 is q4_1 with this offset, exactly
    }
    std::memcpy(to + 32 + 2 * lane, &offset, 2);
    for (int k = 0; k < 16; ++k) {  // byte k of the file holds elements k and 16 + k, as a line's bytes do
      to[64 + k / 4 * 64 + lane * 4 + k % 4] = nibbles[k];
    }
  }

  bool is_4_bit_;
  std::int64_t rows_, blocks_;
  std::unique_ptr<std::uint8_t[], Free> memory_;
};

// The input rows in 8 bits. Per row: blocks * 32 bytes, then header_floats for each block.
struct Rounded {
  std::byte* memory;
  std::int64_t blocks;

  static std::int64_t row_bytes(std::int64_t blocks) { return blocks * (block + header_floats * 4); }
  std::int8_t* values(std::int64_t row) const {
    return reinterpret_cast<std::int8_t*>(memory + row * row_bytes(blocks));
  }
  float* headers(std::int64_t row) const { return reinterpret_cast<float*>(values(row) + blocks * block); }

  void round_row(const float* x, std::int64_t row, bool scaled_sum) const {
    for (std::int64_t b = 0; b < blocks; ++b) {
      const float* from = x + b * block;
      float largest = 0;
      for (int k = 0; k < block; ++k) {
        largest = std::max(largest, std::fabs(from[k]));
      }
      const float scale = largest / 127;
      const float inverse = scale > 0 ? 1 / scale : 0;
      std::int8_t* to = values(row) + b * block;
      std::int32_t sum = 0;
      for (int k = 0; k < block; ++k) {
        const auto rounded = static_cast<std::int32_t>(from[k] * inverse + std::copysign(0.5f, from[k]));
        to[k] = static_cast<std::int8_t>(rounded);
        sum += rounded;
      }
      headers(row)[2 * b] = scale;
      headers(row)[2 * b + 1] = scaled_sum ? scale * static_cast<float>(sum) : static_cast<float>(sum);
    }
  }
};

// `count` input rows against one part of one tile.
template <bool four_bits, int count>
inline void multiply(const PackedRows& weight, const std::uint8_t* tile, int part, const Rounded& x, std::int64_t first,
                     Floats* sums) {
  for (std::int64_t b = 0; b < weight.blocks(); ++b, tile += four_bits ? 320 : 544) {
    const Floats scales = load(reinterpret_cast<const float16*>(tile) + part * lanes, Whole{});
    const std::uint8_t* lines = tile + (four_bits ? 64 : 32) + part * vector_bytes;
    Bytes w[8];
    for (int q = 0; q < (four_bits ? 4 : 8); ++q) {
      w[q] = load_bytes(lines + q * 64);
      if constexpr (four_bits) {
        w[q + 4] = high_nibbles(w[q]);
        w[q] = low_nibbles(w[q]);
      }
    }
    Floats offsets{};
    if constexpr (four_bits) {
      offsets = load(reinterpret_cast<const float16*>(tile + 32) + part * lanes, Whole{});
    }
    for (int c = 0; c < count; ++c) {
      const std::int8_t* a = x.values(first + c) + b * block;
      const float* header = x.headers(first + c) + 2 * b;
      if constexpr (four_bits) {
        sums[c] += scales * header[0] * __builtin_convertvector(dot_nibbles(w, a), Floats) + offsets * header[1];
      } else {
        sums[c] +=
            scales * header[0] * __builtin_convertvector(dot_bytes(w, a, static_cast<std::int32_t>(header[1])), Floats);
      }
    }
  }
}

class LinearQuantized {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_OWNS_PARAMS;
  static constexpr std::array constraints{dtype_in("input", f32), dtype_in("bias", f32), last_dim_dense("input"),
                                          last_dim_dense("output")};
  // An 8-bit activation is off by half a step of 1/127 of its block's largest, some 0.6 % of a row's spread. The mean
  // square binds; a single sum may cancel to any size, so the bound of one element only catches what is plainly wrong.
  static constexpr std::array tolerances{Tolerance{f32, 5e-2, 8.0, 3e-4}};

  explicit LinearQuantized(const CreateArgs& args) : weight_(pack(args)), bias_(copy_bias(args.param("bias"))) {}

  void update_params(const CreateArgs& args) { *this = LinearQuantized(args); }

  void infer(InferCall& call) const {
    std::int64_t rows = 1;
    for (int d = 0; d + 1 < call.in[0].ndim; ++d) {
      rows *= call.in[0].dim[d];
    }
    call.forward_workspace = static_cast<std::size_t>(rows * Rounded::row_bytes(weight_.blocks()));
  }

  void forward(const lh_call& call) const {
    const DLTensor &x = *call.in[0], &y = *call.out[0];
    const std::int64_t rows = row_count(x);
    const Rounded rounded{static_cast<std::byte*>(call.workspace), weight_.blocks()};
    parallel_ranges(call.host, rows, 8, 1, [&](Range range, std::uint32_t) {
      for (std::int64_t r = range.begin; r < range.end; ++r) {
        rounded.round_row(row<const float>(x, r), r, weight_.is_4_bit());
      }
    });
    const std::int64_t least =
        std::max<std::int64_t>(1, least_bytes_per_worker / (weight_.tile_bytes() * std::max<std::int64_t>(1, rows)));
    parallel_ranges(call.host, weight_.tiles(), least, 1, [&](Range range, std::uint32_t) {
      if (weight_.is_4_bit()) {
        run<true>(range, rounded, y, rows);
      } else {
        run<false>(range, rounded, y, rows);
      }
    });
  }

 private:
  static PackedRows pack(const CreateArgs& args) {
    const BlockFormat* format = find_block_format(args.param_format("weight"));
    if (format == nullptr) {
      throw Failure(LH_DECLINED, "the weight is no block format");
    }
    return {*args.param("weight"), *format};
  }
  static std::vector<float> copy_bias(const DLTensor* bias) {
    return bias == nullptr ? std::vector<float>{}
                           : std::vector<float>(data<float>(*bias), data<float>(*bias) + bias->shape[0]);
  }

  template <bool four_bits>
  void run(Range tiles, const Rounded& x, const DLTensor& y, std::int64_t rows) const {
    for (std::int64_t begin = 0; begin < rows; begin += rows_in_cache) {
      const std::int64_t end = std::min(begin + rows_in_cache, rows);
      for (std::int64_t t = tiles.begin; t < tiles.end; ++t) {
        std::int64_t r = begin;
        for (; r + shared_rows <= end; r += shared_rows) {
          run_tile<four_bits, shared_rows>(t, x, y, r);
        }
        for (; r < end; ++r) {
          run_tile<four_bits, 1>(t, x, y, r);
        }
      }
    }
  }

  template <bool four_bits, int count>
  void run_tile(std::int64_t t, const Rounded& x, const DLTensor& y, std::int64_t first) const {
    for (int part = 0; part < parts; ++part) {
      Floats sums[count] = {};
      multiply<four_bits, count>(weight_, weight_.tile(t), part, x, first, sums);
      const std::int64_t n = t * tile_rows + part * lanes;
      const std::int64_t here = std::min<std::int64_t>(lanes, weight_.rows() - n);
      for (int c = 0; c < count && here > 0; ++c) {
        float* to = row<float>(y, first + c) + n;
        if (here == lanes) {
          store(to, bias_.empty() ? sums[c] : sums[c] + load(bias_.data() + n, Whole{}), Whole{});
        } else {
          store(to, bias_.empty() ? sums[c] : sums[c] + load(bias_.data() + n, Part{here}), Part{here});
        }
      }
    }
  }

  PackedRows weight_;
  std::vector<float> bias_;
};

LAYERHUB_KERNEL(LinearQuantized, layerhub::layers::Linear, "quantized-" LAYERHUB_TU_LEVEL);

}  // namespace
