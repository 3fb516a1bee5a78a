// SPDX-License-Identifier: Apache-2.0
// Linear with float weights, kept in their own width: 16 rows interleaved by column, one multiply-add per lane.
//
// As in linear_quantized, a lane is a row of the weight and an activation is broadcast: no sum across lanes is
// taken, and the order of additions does not depend on how many rows or threads there are.
//
// Backward: grad_input = grad_output W, grad_W = grad_output^T input, grad_bias = the column sums of grad_output. It
// reads the weight where the host keeps it: the packed form has its columns apart.
#include "product.inl.hpp"

#include <layerhub/layers/linear.hpp>
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <algorithm>
#include <array>
#include <vector>

namespace {

using namespace layerhub::sdk;
using layerhub::linear::Product;

constexpr std::int64_t tile_rows = 16;
constexpr std::int64_t shared_rows = 4;
constexpr std::int64_t rows_in_cache = 64;
constexpr std::int64_t least_products_per_worker = 1 << 15;

class LinearFloat {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_OWNS_PARAMS;
  static constexpr std::array constraints{
      dtype_in("input", f32, bf16, f16), dtype_in("weight", f32, f16, bf16), dtype_in("bias", f32),
      last_dim_dense("input"),           last_dim_dense("output"),           last_dim_dense("weight")};
  // Sums of K products in float: the error grows with the root of K.
  static constexpr std::array tolerances{Tolerance{f32, 1e-4, 1e-3, 1e-10}, Tolerance{bf16, 1e-2, 2e-1, 1e-4},
                                         Tolerance{f16, 2e-3, 5e-2, 1e-6}};

  explicit LinearFloat(const CreateArgs& args) {
    if (!args.param_format("weight").empty()) {
      throw Failure(LH_DECLINED, "the weight is no plain float matrix");
    }
    const DLTensor& weight = *args.param("weight");
    dtype_ = weight.dtype;
    rows_ = weight.shape[0];
    columns_ = weight.shape[1];
    visit_float(dtype_, [&]<class T>() { pack<T>(weight); });
    if (const DLTensor* bias = args.param("bias")) {
      bias_.assign(data<float>(*bias), data<float>(*bias) + rows_);
    }
  }

  void update_params(const CreateArgs& args) { *this = LinearFloat(args); }

  void forward(const lh_call& call) const {
    visit_float(call.in[0]->dtype, [&]<class X>() {
      visit_float(dtype_, [&]<class W>() { run<X, W>(call, *call.in[0], *call.out[0]); });
    });
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
    parallel_ranges(host, last_dim(grad_bias), least_products_per_worker / (rows + 1) + 1, column_grain,
                    [&](Range range, std::uint32_t) {
                      write_column_sums(data<float>(grad_bias), range.begin, range.end, rows,
                                        [&](std::int64_t index, std::int64_t column, auto extent) {
                                          return load(row<const T>(grad_output, index) + column, extent);
                                        });
                    });
  }

  std::int64_t tiles() const { return (rows_ + tile_rows - 1) / tile_rows; }

  template <class W>
  void pack(const DLTensor& weight) {
    memory_.assign(static_cast<std::size_t>(tiles() * tile_rows * columns_) * sizeof(W), std::byte{0});
    W* to = reinterpret_cast<W*>(memory_.data());
    for (std::int64_t r = 0; r < rows_; ++r) {
      const W* from = data<const W>(weight) + r * weight.strides[0];
      for (std::int64_t k = 0; k < columns_; ++k) {
        to[(r / tile_rows * columns_ + k) * tile_rows + r % tile_rows] = from[k];
      }
    }
  }

  template <class X, class W>
  void run(const lh_call& call, const DLTensor& x, const DLTensor& y) const {
    const std::int64_t rows = row_count(x);
    const std::int64_t least = std::max<std::int64_t>(
        1, least_products_per_worker / (tile_rows * columns_ * std::max<std::int64_t>(rows, 1) + 1));
    parallel_ranges(call.host, tiles(), least, 1, [&](Range range, std::uint32_t) {
      for (std::int64_t begin = 0; begin < rows; begin += rows_in_cache) {
        const std::int64_t end = std::min(begin + rows_in_cache, rows);
        for (std::int64_t t = range.begin; t < range.end; ++t) {
          std::int64_t r = begin;
          for (; r + shared_rows <= end; r += shared_rows) {
            run_tile<X, W, shared_rows>(t, x, y, r);
          }
          for (; r < end; ++r) {
            run_tile<X, W, 1>(t, x, y, r);
          }
        }
      }
    });
  }

  template <class X, class W, int count>
  void run_tile(std::int64_t t, const DLTensor& x, const DLTensor& y, std::int64_t first) const {
    const W* tile = reinterpret_cast<const W*>(memory_.data()) + t * tile_rows * columns_;
    const X* inputs[count];
    for (int c = 0; c < count; ++c) {
      inputs[c] = row<const X>(x, first + c);
    }
    for (int part = 0; part < tile_rows / lanes; ++part) {
      Floats sums[count] = {};
      for (std::int64_t k = 0; k < columns_; ++k) {
        const Floats w = load(tile + k * tile_rows + part * lanes, Whole{});
        for (int c = 0; c < count; ++c) {
          sums[c] += w * to_float(inputs[c][k]);
        }
      }
      const std::int64_t n = t * tile_rows + part * lanes;
      const std::int64_t here = std::min<std::int64_t>(lanes, rows_ - n);
      for (int c = 0; c < count && here > 0; ++c) {
        X* to = row<X>(y, first + c) + n;
        if (here == lanes) {
          store(to, bias_.empty() ? sums[c] : sums[c] + load(bias_.data() + n, Whole{}), Whole{});
        } else {
          store(to, bias_.empty() ? sums[c] : sums[c] + load(bias_.data() + n, Part{here}), Part{here});
        }
      }
    }
  }

  DLDataType dtype_{};
  std::int64_t rows_ = 0, columns_ = 0;
  std::vector<std::byte> memory_;
  std::vector<float> bias_;
};

LAYERHUB_KERNEL(LinearFloat, layerhub::layers::Linear, "float");

}  // namespace
