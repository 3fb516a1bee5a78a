// SPDX-License-Identifier: Apache-2.0
// The MLP of a transformer's block as one layer.
//
//   SwiGLUMLP   output = (silu(x gate^T) * (x up^T)) down^T
//
//   x (..., K), gate_proj.weight (N, K), up_proj.weight (N, K), down_proj.weight (K, N) -> output (..., K)
//
// A kernel of it reads x once for both of the first products and keeps what is between them and the last one near. The
// weights are plain float matrices or of GGUF block formats, as those of Linear, each of its own.
#pragma once

#include <layerhub/layers/activation.hpp>
#include <layerhub/layers/linear.hpp>

namespace layerhub::layers {

struct SwiGLUMLP {
  static constexpr std::string_view name = "SwiGLUMLP";
  static constexpr std::array arguments{sdk::input("x"), sdk::param("gate_proj.weight", detail::weight_formats),
                                        sdk::param("up_proj.weight", detail::weight_formats),
                                        sdk::param("down_proj.weight", detail::weight_formats), sdk::output("output")};
  static constexpr std::array constraints{
      sdk::rank("gate_proj.weight", 2, 2),
      sdk::rank("up_proj.weight", 2, 2),
      sdk::rank("down_proj.weight", 2, 2),
      sdk::same_dim("x", -1, "gate_proj.weight", 1),
      sdk::same_shape("up_proj.weight", "gate_proj.weight"),
      sdk::same_dim("down_proj.weight", 0, "gate_proj.weight", 1),
      sdk::same_dim("down_proj.weight", 1, "gate_proj.weight", 0),
      sdk::same_shape("output", "x"),
      sdk::same_dtype("output", "x"),
  };

  static void reference(sdk::ReferenceCall& call) {
    const sdk::RealTensor& x = call.tensor("x");
    const sdk::RealTensor& gate_weight = call.tensor("gate_proj.weight");
    const std::int64_t width = gate_weight.shape[0];
    sdk::RealTensor gate{{x.row_count(), width}, std::vector<double>(static_cast<std::size_t>(x.row_count() * width))};
    sdk::RealTensor up = gate;
    detail::linear_reference(x, gate_weight, nullptr, gate);
    detail::linear_reference(x, call.tensor("up_proj.weight"), nullptr, up);
    for (std::size_t i = 0; i < gate.values.size(); ++i) {
      gate.values[i] = formula::silu(gate.values[i]) * up.values[i];
    }
    detail::linear_reference(gate, call.tensor("down_proj.weight"), nullptr, call.tensor("output"));
  }

  static std::vector<sdk::Example> examples();
};

// One row and several; widths of one block and several, that fill tiles and that don't. The deviation keeps the gates
// where silu is curved: each is a sum of K products of such numbers.
inline std::vector<sdk::Example> SwiGLUMLP::examples() {
  std::vector<sdk::Example> all;
  const auto add = [&](std::int64_t rows, std::int64_t columns, std::int64_t width, double deviation = 0.5) {
    all.push_back({{{"x", {rows, columns}}, {"gate_proj.weight", {width, columns}}}, {}, {}, deviation});
  };
  add(1, 96, 192);
  add(1, 192, 96);
  add(3, 64, 160);
  add(21, 96, 64);
  add(1, 576, 160, 0.2);  // enough for two threads with one row, and for tiles that are claimed with many
  add(9, 576, 64, 0.2);
  add(7, 96, 672);  // so wide that down takes its sums in parts
  add(2, 37, 45);  // for plain weights alone: no block of 32 fits
  return all;
}

}  // namespace layerhub::layers
