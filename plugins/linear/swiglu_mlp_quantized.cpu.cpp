// SPDX-License-Identifier: Apache-2.0
// SwiGLUMLP with block-quantized weights: two passes of the threads, and no activation in float between them.
//
// The first pass takes 32 rows of gate and up at a time, which is one block of what down reads: silu(gate) * up is made
// while both are near and rounded to 8 bits at once. The second pass is the product with down. The weights may have
// different formats.
#include "quantized_product.hpp"
#include "tiles.hpp"

#include <layerhub/layers/mlp.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector_math.hpp>

#include <array>

namespace {

using namespace layerhub::sdk;
using layerhub::linear::block_size;
using layerhub::linear::finish_rows;
using layerhub::linear::multiply_tile;
using layerhub::linear::multiply_two_tiles;
using layerhub::linear::PackedRows;
using layerhub::linear::round_rows;
using layerhub::linear::RoundedRows;
using layerhub::linear::rows_in_cache;
using layerhub::linear::share_tiles;
using layerhub::linear::tile_rows;
using layerhub::linear::TileWork;
using layerhub::linear::write_tile;

static_assert(tile_rows == block_size);  // a tile of gate and up is a block of what down reads

class SwiGLUMLPQuantized {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_OWNS_PARAMS;
  static constexpr std::array constraints{dtype_in("x", f32), last_dim_dense("x"), last_dim_dense("output")};
  // As for Linear, twice: where gate and up cancel, the error that they leave is large beside what down sums.
  static constexpr std::array tolerances{Tolerance{f32, 5e-2, 256.0, 5e-3}};

  explicit SwiGLUMLPQuantized(const CreateArgs& args)
      : gate_(args, "gate_proj.weight"), up_(args, "up_proj.weight"), down_(args, "down_proj.weight") {}

  void update_params(const CreateArgs& args) { *this = SwiGLUMLPQuantized(args); }

  void infer(InferCall& call) const {
    const std::int64_t rows = row_count(call.in[0]);
    call.forward_workspace = RoundedRows::bytes(rows, gate_.blocks()) + RoundedRows::bytes(rows, down_.blocks());
  }

  void forward(const lh_call& call) const {
    const std::int64_t rows = row_count(*call.in[0]);
    auto* memory = static_cast<std::byte*>(call.workspace);
    const RoundedRows x(memory, rows, gate_.blocks());
    const RoundedRows hidden(memory + RoundedRows::bytes(rows, gate_.blocks()), rows, down_.blocks());
    round_rows(call.host, *call.in[0], x);
    share_tiles(call.host, TileWork{down_.blocks(), 2 * tile_rows * gate_.columns(), rows, rows_in_cache},
                [&](std::int64_t block, std::int64_t first, std::int64_t count) {
                  make_hidden(x, block, first, count, hidden);
                });
    finish_rows(call.host, hidden);
    share_tiles(
        call.host, TileWork{down_.tiles(), tile_rows * down_.columns(), rows, rows_in_cache},
        [&](std::int64_t tile, std::int64_t first, std::int64_t count) {
          make_output(hidden, tile, first, count, *call.out[0]);
        },
        [&](std::int64_t tile, std::int64_t other) { make_two_outputs(hidden, tile, other, *call.out[0]); });
  }

 private:
  void make_hidden(const RoundedRows& x, std::int64_t block, std::int64_t first, std::int64_t count,
                   const RoundedRows& hidden) const {
    alignas(64) float gate[rows_in_cache * tile_rows], up[rows_in_cache * tile_rows];
    multiply_two_tiles({gate_, block, gate}, {up_, block, up}, x, first, count);
    for (std::int64_t i = 0; i < count * tile_rows; i += lanes) {
      const Floats g = load(gate + i, Whole{});
      store(gate + i, times_sigmoid(g, g) * load(up + i, Whole{}), Whole{});
    }
    for (std::int64_t r = 0; r < count; ++r) {
      hidden.round_block(first + r, block, gate + r * tile_rows);
    }
  }

  void make_output(const RoundedRows& hidden, std::int64_t tile, std::int64_t first, std::int64_t count,
                   const DLTensor& output) const {
    alignas(64) float sums[rows_in_cache * tile_rows];
    multiply_tile(down_, tile, hidden, first, count, sums);
    write_tile<float>(sums, tile, first, count, {}, output);
  }

  void make_two_outputs(const RoundedRows& hidden, std::int64_t tile, std::int64_t other,
                        const DLTensor& output) const {
    alignas(64) float sums[2][tile_rows];
    multiply_two_tiles({down_, tile, sums[0]}, {down_, other, sums[1]}, hidden, 0, 1);
    write_tile<float>(sums[0], tile, 0, 1, {}, output);
    write_tile<float>(sums[1], other, 0, 1, {}, output);
  }

  PackedRows gate_, up_, down_;
};

LAYERHUB_KERNEL(SwiGLUMLPQuantized, layerhub::layers::SwiGLUMLP, "quantized-" LAYERHUB_TU_LEVEL);

}  // namespace
