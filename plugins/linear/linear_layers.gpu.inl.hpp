// SPDX-License-Identifier: Apache-2.0
// Linear, QKVLinear and SwiGLUMLP on CUDA and HIP over projections of one kind, see projection.gpu.inl.hpp.
//
// The three projections of an attention are one launch for few rows. An MLP of one row is two: the outputs of gate and
// up come out multiplied, and down follows; with more rows they are products of their own with a pass between them.
#pragma once

#include "projection.gpu.inl.hpp"

#include <layerhub/layers/linear.hpp>
#include <layerhub/layers/mlp.hpp>
#include <layerhub/sdk/gpu.hpp>

namespace layerhub::linear {

constexpr std::uint32_t common_traits = LH_TRAIT_CAPTURE_SAFE | LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC;

// What a projection's weight may be, beside the formats that the layer declares. The weights of a layer have one dtype,
// or block formats, which may differ.
template <class Projection>
constexpr Constraint weight_types(std::string_view weight) {
  return Projection::is_packed ? dtype_in(weight, u8) : dtype_in(weight, f32, f16, bf16);
}

template <class Projection>
class LinearLayer {
 public:
  static constexpr std::uint32_t traits = common_traits | LH_TRAIT_NO_WORKSPACE | Projection::traits;
  static constexpr std::array constraints{
      dtype_in("input", f32, bf16, f16), weight_types<Projection>("weight"), dtype_in("bias", f32),
      last_dim_dense("input"),           last_dim_dense("output"),           last_dim_dense("weight")};
  static constexpr std::array tolerances = product_tolerances;

  explicit LinearLayer(const CreateArgs& args) : projection_(args, {"weight", 1, "bias", 2}) {}
  void update_params(const CreateArgs& args) { projection_.update(args); }

  void forward(const lh_call& call) const {
    typename Projection::Batches batches;
    projection_.visit(call, gpu::float_rows_of(*call.out[0]), [&](const auto& product) { batches.add(product); });
    batches.run(call, input_of(*call.in[0]));
  }

 private:
  Projection projection_;
};

template <class Projection>
class QKVLinearLayer {
 public:
  static constexpr std::uint32_t traits = common_traits | LH_TRAIT_NO_WORKSPACE | Projection::traits;
  static constexpr std::array constraints{dtype_in("x", f32, bf16, f16),
                                          weight_types<Projection>("q_proj.weight"),
                                          same_dtype("k_proj.weight", "q_proj.weight"),
                                          same_dtype("v_proj.weight", "q_proj.weight"),
                                          dtype_in("q_proj.bias", f32),
                                          dtype_in("k_proj.bias", f32),
                                          dtype_in("v_proj.bias", f32),
                                          last_dim_dense("x"),
                                          last_dim_dense("q"),
                                          last_dim_dense("k"),
                                          last_dim_dense("v"),
                                          last_dim_dense("q_proj.weight"),
                                          last_dim_dense("k_proj.weight"),
                                          last_dim_dense("v_proj.weight")};
  static constexpr std::array tolerances = product_tolerances;

  explicit QKVLinearLayer(const CreateArgs& args)
      : q_(args, {"q_proj.weight", 1, "q_proj.bias", 4}),
        k_(args, {"k_proj.weight", 2, "k_proj.bias", 5}),
        v_(args, {"v_proj.weight", 3, "v_proj.bias", 6}) {}
  void update_params(const CreateArgs& args) {
    q_.update(args);
    k_.update(args);
    v_.update(args);
  }

  void forward(const lh_call& call) const {
    typename Projection::Batches batches;
    const Projection* projections[max_products] = {&q_, &k_, &v_};
    for (int i = 0; i < max_products; ++i) {
      projections[i]->visit(call, gpu::float_rows_of(*call.out[i]), [&](const auto& product) { batches.add(product); });
    }
    batches.run(call, input_of(*call.in[0]));
  }

 private:
  Projection q_, k_, v_;
};

constexpr int gate_threads = 256;

// up = silu(gate) * up, a thread for each element.
static __global__ void gate_rows(gpu::FloatRows gate, gpu::FloatRows up, std::int64_t rows, int columns) {
  const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * gate_threads + threadIdx.x;
  const std::int64_t row = item / columns;
  const int column = static_cast<int>(item % columns);
  if (row < rows) {
    up.store(row, column, gated(gate.at(row, column), up.at(row, column)));
  }
}

// A gate's error is multiplied by up, so that what is allowed grows with the products of both; those of block formats
// are large in the tests. As bfloat16, what is between the products is rounded once more. Where gates close, results
// fall below the least number of float16: no mean square holds there.
inline constexpr std::array mlp_tolerances_of_blocks{Tolerance{f32, 1e-3, 5e-1, 1e-7}, Tolerance{bf16, 2e-2, 64, 1e-3},
                                                     Tolerance{f16, 4e-3, 8}};
inline constexpr std::array mlp_tolerances_of_floats{Tolerance{f32, 2e-4, 4e-3, 1e-9}, Tolerance{bf16, 2e-2, 1, 4e-4},
                                                     Tolerance{f16, 4e-3, 2e-1}};

template <class Projection>
class SwiGLUMLPLayer {
 public:
  static constexpr std::uint32_t traits = common_traits | Projection::traits;
  static constexpr std::array constraints{dtype_in("x", f32, bf16, f16),
                                          weight_types<Projection>("gate_proj.weight"),
                                          same_dtype("up_proj.weight", "gate_proj.weight"),
                                          same_dtype("down_proj.weight", "gate_proj.weight"),
                                          last_dim_dense("x"),
                                          last_dim_dense("output"),
                                          last_dim_dense("gate_proj.weight"),
                                          last_dim_dense("up_proj.weight"),
                                          last_dim_dense("down_proj.weight")};
  static constexpr std::array tolerances = Projection::is_packed ? mlp_tolerances_of_blocks : mlp_tolerances_of_floats;

  explicit SwiGLUMLPLayer(const CreateArgs& args)
      : gate_(args, {"gate_proj.weight", 1}), up_(args, {"up_proj.weight", 2}), down_(args, {"down_proj.weight", 3}) {
    width_ = args.param("gate_proj.weight")->shape[0];
  }
  void update_params(const CreateArgs& args) {
    gate_.update(args);
    up_.update(args);
    down_.update(args);
  }

  void infer(InferCall& call) const {
    call.forward_workspace = 2 * bytes_between(row_count(call.in[0]));
  }

  void forward(const lh_call& call) const {
    const DLTensor& x = *call.in[0];
    const Input input = input_of(x);
    auto* memory = static_cast<std::byte*>(call.workspace);
    // Matrix units want what is between the products in 16 bits; those of float16 may not hold it.
    const DLDataType dtype = input.rows > most_rows_of_vectors && same(x.dtype, bf16) ? bf16 : f32;
    const gpu::FloatRows up = gpu::dense_float_rows(memory, dtype, input.rows, width_);
    const gpu::FloatRows gate = gpu::dense_float_rows(memory + bytes_between(input.rows), dtype, input.rows, width_);
    if (!run_gated(call, input, up)) {
      typename Projection::Batches batches;
      gate_.visit(call, gate, [&](const auto& product) { batches.add(product); });
      up_.visit(call, up, [&](const auto& product) { batches.add(product); });
      batches.run(call, input);
      gpu::launch(call, gate_rows, gpu::blocks_for(input.rows * width_, gate_threads), gate_threads, 0, gate, up,
                  input.rows, static_cast<int>(width_));
    }
    typename Projection::Batches batches;
    down_.visit(call, gpu::float_rows_of(*call.out[0]), [&](const auto& product) { batches.add(product); });
    batches.run(call, {up, input.rows, static_cast<int>(width_)});
  }

 private:
  // Of one tensor between the products: a multiple of 16.
  std::size_t bytes_between(std::int64_t rows) const {
    return (static_cast<std::size_t>(rows * width_) * sizeof(float) + 15) / 16 * 16;
  }

  // Whether it was done: both weights are of one kind, and the input has one row.
  bool run_gated(const lh_call& call, const Input& input, const gpu::FloatRows& y) const {
    bool is_done = false;
    if (input.rows == 1) {
      gate_.visit(call, y, [&]<class Weight>(const Product<Weight>& gate) {
        up_.visit(call, y, [&]<class Other>(const Product<Other>& up) {
          if constexpr (std::is_same_v<Weight, Other>) {
            matrix_vector::run<1>(call, matrix_vector::Gated<Weight>{gate.weight, up.weight, gate.outputs, y}, input);
            is_done = true;
          }
        });
      });
    }
    return is_done;
  }

  Projection gate_, up_, down_;
  std::int64_t width_;  // of what is between the products
};

}  // namespace layerhub::linear
