// SPDX-License-Identifier: Apache-2.0
// Linear with float weights: products in float32 of weights in their own width.
//
// Forward copies the input once, as the products read it, and the threads share out the tiles of the weight.
//
// Backward: grad_input = grad_output W, grad_W = grad_output^T input, grad_bias = the column sums of grad_output. It
// reads the weight where the host keeps it: the packed form has its columns apart.
#include "float_product.inl.hpp"
#include "float_rows.hpp"
#include "product.inl.hpp"
#include "tiles.hpp"

#include <layerhub/layers/linear.hpp>
#include <layerhub/sdk/column_sums.hpp>
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <array>
#include <vector>

namespace {

using namespace layerhub::sdk;
using layerhub::linear::float_rows_in_cache;
using layerhub::linear::FloatRows;
using layerhub::linear::GroupedRows;
using layerhub::linear::multiply_two_tiles;
using layerhub::linear::Product;
using layerhub::linear::share_tiles;
using layerhub::linear::tile_rows;
using layerhub::linear::TileWork;
using layerhub::linear::write_tile;

constexpr std::int64_t least_gradients_per_worker = 1 << 15;

class LinearFloat {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_OWNS_PARAMS;
  static constexpr std::array constraints{
      dtype_in("input", f32, bf16, f16), dtype_in("weight", f32, f16, bf16), dtype_in("bias", f32),
      last_dim_dense("input"),           last_dim_dense("output"),           last_dim_dense("weight")};
  // Sums of K products in float: the error grows with the root of K.
  static constexpr std::array tolerances{Tolerance{f32, 1e-4, 1e-3, 1e-10}, Tolerance{bf16, 1e-2, 2e-1, 1e-4},
                                         Tolerance{f16, 2e-3, 5e-2, 1e-6}};

  explicit LinearFloat(const CreateArgs& args) : weight_(args.host(), float_weight(args)) { copy_bias(args); }

  void update_params(const CreateArgs& args) {
    weight_.pack(args.host(), float_weight(args));
    copy_bias(args);
  }

  void infer(InferCall& call) const {
    call.forward_workspace = GroupedRows::bytes(row_count(call.in[0]), weight_.columns());
  }

  void forward(const lh_call& call) const {
    const std::int64_t rows = row_count(*call.in[0]);
    const GroupedRows x(call.workspace, rows, weight_.columns());
    x.copy(call.host, *call.in[0]);
    visit_float(weight_.dtype(), [&]<class W>() { run<W>(call.host, x, *call.out[0]); });
  }

  static void backward(const lh_call& call) {
    const DLTensor& grad_output = *call.grad_out[0];
    if (call.grad_in[0] != nullptr) {
      Product(grad_output, false, *call.in[1], *call.grad_in[0]).run(call.host);
    }
    if (call.grad_in[1] != nullptr) {
      Product(grad_output, true, *call.in[0], *call.grad_in[1]).run(call.host);
    }
    if (call.grad_in[2] != nullptr) {
      visit_float(grad_output.dtype, [&]<class T>() { sum_columns<T>(call.host, grad_output, *call.grad_in[2]); });
    }
  }

 private:
  template <class T>
  static void sum_columns(const lh_host* host, const DLTensor& grad_output, const DLTensor& grad_bias) {
    const std::int64_t rows = row_count(grad_output);
    parallel_ranges(host, last_dim(grad_bias), least_gradients_per_worker / (rows + 1) + 1, column_grain,
                    [&](Range range, std::uint32_t) {
                      write_column_sums(data<float>(grad_bias), range.begin, range.end, rows,
                                        [&](std::int64_t index, std::int64_t column, auto extent) {
                                          return load(row<const T>(grad_output, index) + column, extent);
                                        });
                    });
  }

  static const DLTensor& float_weight(const CreateArgs& args) {
    if (!args.param_format("weight").empty()) {
      throw Failure(LH_DECLINED, "the weight is no plain float matrix");
    }
    return *args.param("weight");
  }

  void copy_bias(const CreateArgs& args) {
    if (const DLTensor* bias = args.param("bias")) {
      bias_.assign(data<float>(*bias), data<float>(*bias) + bias->shape[0]);
    }
  }

  template <class W>
  void run(const lh_host* host, const GroupedRows& x, const DLTensor& y) const {
    share_tiles(
        host, TileWork{weight_.tiles(), tile_rows * weight_.columns(), x.rows(), float_rows_in_cache},
        [&](std::int64_t tile, std::int64_t first, std::int64_t count) {
          alignas(64) float sums[float_rows_in_cache * tile_rows];
          multiply_tile<W>(weight_, tile, x, first, count, sums);
          write(sums, tile, first, count, y);
        },
        [&](std::int64_t tile, std::int64_t other) {
          alignas(64) float sums[2 * tile_rows];
          multiply_two_tiles<W>(weight_, tile, other, x, sums);
          write(sums, tile, 0, 1, y);
          write(sums + tile_rows, other, 0, 1, y);
        });
  }

  void write(const float* sums, std::int64_t tile, std::int64_t first, std::int64_t count, const DLTensor& y) const {
    visit_float(y.dtype, [&]<class Y>() { write_tile<Y>(sums, tile, first, count, bias_, y); });
  }

  FloatRows weight_;
  std::vector<float> bias_;
};

LAYERHUB_KERNEL(LinearFloat, layerhub::layers::Linear, "float");

}  // namespace
