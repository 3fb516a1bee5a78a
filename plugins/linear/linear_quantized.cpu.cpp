// SPDX-License-Identifier: Apache-2.0
// Linear and QKVLinear with block-quantized weights: integer products of 8-bit activations.
//
// A call rounds its input once, for all of its weights, and the threads share out the tiles of all of them: one
// hand-over each for the rounding of many rows and for the products, and none for the rounding of a few. Error: that of
// the activations' rounding, see the tolerances.
#include "quantized_product.hpp"
#include "tiles.hpp"

#include <layerhub/layers/linear.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>

#include <array>
#include <span>
#include <string_view>
#include <vector>

namespace {

using namespace layerhub::sdk;
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

constexpr std::uint32_t traits_of_all = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_OWNS_PARAMS;
// An 8-bit activation is off by half a step of 1/127 of its block's largest, some 0.6 % of a row's spread. The mean
// square binds; a single sum may cancel to any size, so the bound of one element only catches what is plainly wrong.
constexpr std::array tolerances_of_all{Tolerance{f32, 5e-2, 8.0, 3e-4}};

// One weight with its bias.
class Projection {
 public:
  Projection(const CreateArgs& args, std::string_view weight, std::string_view bias) : weight_(args, weight) {
    if (const DLTensor* given = args.param(bias)) {
      bias_.assign(data<float>(*given), data<float>(*given) + given->shape[0]);
    }
  }

  const PackedRows& weight() const { return weight_; }

  // Rows [first, first + count) of the tile's outputs.
  void run_tile(std::int64_t tile, const RoundedRows& x, std::int64_t first, std::int64_t count,
                const DLTensor& y) const {
    alignas(64) float sums[rows_in_cache * tile_rows];
    multiply_tile(weight_, tile, x, first, count, sums);
    write(sums, tile, first, count, y);
  }
  void write(const float* sums, std::int64_t tile, std::int64_t first, std::int64_t count, const DLTensor& y) const {
    write_tile<float>(sums, tile, first, count, bias_, y);
  }

 private:
  PackedRows weight_;
  std::vector<float> bias_;
};

// y[p] = x projections[p]^T + bias. The tiles of all projections are numbered through.
class Projections {
 public:
  Projections(const lh_call& call, std::span<const Projection> projections)
      : call_(call),
        projections_(projections),
        x_(call.workspace, row_count(*call.in[0]), projections[0].weight().blocks()) {}

  void run() const {
    round_rows(call_.host, *call_.in[0], x_);
    std::int64_t tiles = 0;
    for (const Projection& p : projections_) {
      tiles += p.weight().tiles();
    }
    share_tiles(
        call_.host, TileWork{tiles, tile_rows * projections_[0].weight().columns(), x_.rows(), rows_in_cache},
        [&](std::int64_t tile, std::int64_t first, std::int64_t count) { run_tile(place_of(tile), first, count); },
        [&](std::int64_t tile, std::int64_t other) { run_two_tiles(place_of(tile), place_of(other)); });
  }

 private:
  struct Place {
    std::size_t projection;
    std::int64_t tile;
  };
  Place place_of(std::int64_t tile) const {
    std::size_t p = 0;
    for (; tile >= projections_[p].weight().tiles(); ++p) {
      tile -= projections_[p].weight().tiles();
    }
    return {p, tile};
  }

  void run_tile(Place at, std::int64_t first, std::int64_t count) const {
    projections_[at.projection].run_tile(at.tile, x_, first, count, *call_.out[at.projection]);
  }

  void run_two_tiles(Place one, Place other) const {
    alignas(64) float sums[2][tile_rows];
    multiply_two_tiles({projections_[one.projection].weight(), one.tile, sums[0]},
                       {projections_[other.projection].weight(), other.tile, sums[1]}, x_, 0, 1);
    projections_[one.projection].write(sums[0], one.tile, 0, 1, *call_.out[one.projection]);
    projections_[other.projection].write(sums[1], other.tile, 0, 1, *call_.out[other.projection]);
  }

  const lh_call& call_;
  std::span<const Projection> projections_;
  RoundedRows x_;
};

void infer_workspace(InferCall& call, std::int64_t blocks) {
  call.forward_workspace = RoundedRows::bytes(row_count(call.in[0]), blocks);
}

class LinearQuantized {
 public:
  static constexpr std::uint32_t traits = traits_of_all;
  static constexpr std::array constraints{dtype_in("input", f32), dtype_in("bias", f32), last_dim_dense("input"),
                                          last_dim_dense("output")};
  static constexpr std::array tolerances = tolerances_of_all;

  explicit LinearQuantized(const CreateArgs& args) : projection_{{{args, "weight", "bias"}}} {}

  void update_params(const CreateArgs& args) { *this = LinearQuantized(args); }
  void infer(InferCall& call) const { infer_workspace(call, projection_[0].weight().blocks()); }
  void forward(const lh_call& call) const { Projections(call, projection_).run(); }

 private:
  std::array<Projection, 1> projection_;
};

LAYERHUB_KERNEL(LinearQuantized, layerhub::layers::Linear, "quantized-" LAYERHUB_TU_LEVEL);

class QKVLinearQuantized {
 public:
  static constexpr std::uint32_t traits = traits_of_all;
  static constexpr std::array constraints{
      dtype_in("x", f32),  dtype_in("q_proj.bias", f32), dtype_in("k_proj.bias", f32), dtype_in("v_proj.bias", f32),
      last_dim_dense("x"), last_dim_dense("q"),          last_dim_dense("k"),          last_dim_dense("v")};
  static constexpr std::array tolerances = tolerances_of_all;

  explicit QKVLinearQuantized(const CreateArgs& args)
      : projections_{{{args, "q_proj.weight", "q_proj.bias"},
                      {args, "k_proj.weight", "k_proj.bias"},
                      {args, "v_proj.weight", "v_proj.bias"}}} {}

  void update_params(const CreateArgs& args) { *this = QKVLinearQuantized(args); }
  void infer(InferCall& call) const { infer_workspace(call, projections_[0].weight().blocks()); }
  void forward(const lh_call& call) const { Projections(call, projections_).run(); }

 private:
  std::array<Projection, 3> projections_;
};

LAYERHUB_KERNEL(QKVLinearQuantized, layerhub::layers::QKVLinear, "quantized-" LAYERHUB_TU_LEVEL);

}  // namespace
