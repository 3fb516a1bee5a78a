// SPDX-License-Identifier: Apache-2.0
// Linear: output = input weight^T + bias, for the last dimension of the input.
//
//   input (..., K), weight (N, K), bias? (N) -> output (..., N)
//
// The weight is a plain float matrix, or of a GGUF block format: uint8 (N, bytes of a row), see sdk/formats.hpp.
#pragma once

#include <layerhub/sdk/layer.hpp>
#include <layerhub/sdk/reference.hpp>

namespace layerhub::layers {

struct Linear {
  static constexpr std::string_view name = "Linear";
  static constexpr std::array arguments{sdk::input("input"), sdk::param("weight", "gguf.q4_0,gguf.q4_1,gguf.q8_0"),
                                        sdk::optional(sdk::param("bias")), sdk::output("output")};
  static constexpr std::array constraints{
      sdk::rank("weight", 2, 2),
      sdk::rank("bias", 1, 1),
      sdk::same_dim("bias", 0, "weight", 0),
      sdk::same_dim("input", -1, "weight", 1),
      sdk::same_dim("output", -1, "weight", 0),
      sdk::same_shape_except("output", "input", -1),
      sdk::same_dtype("output", "input"),
  };

  static void reference(sdk::ReferenceCall& call) {
    const sdk::RealTensor &x = call.tensor("input"), &w = call.tensor("weight");
    sdk::RealTensor& y = call.tensor("output");
    for (std::int64_t row = 0; row < x.row_count(); ++row) {
      for (std::int64_t n = 0; n < w.shape[0]; ++n) {
        double sum = call.has("bias") ? call.tensor("bias").values[static_cast<std::size_t>(n)] : 0;
        for (std::int64_t k = 0; k < x.last_dim(); ++k) {
          sum += x.row(row)[k] * w.row(n)[k];
        }
        y.row(row)[n] = sum;
      }
    }
  }

  static std::vector<sdk::Example> examples();
};

// One row and many, row counts of the weight that fill no tile, one block and several.
inline std::vector<sdk::Example> Linear::examples() {
  std::vector<sdk::Example> all;
  for (const std::int64_t rows : {1, 2, 3, 7, 8, 65, 130}) {
    for (const std::int64_t n : {15, 16, 17, 50, 192}) {
      for (const std::int64_t k : {32, 96, 576}) {
        // A mean square needs some outputs to be a mean of: quantized kernels are held to one.
        if (n >= 50 - 5 * rows && rows * n * k <= 130 * 50 * 576) {
          all.push_back({{{"input", {rows, k}}, {"weight", {n, k}}, {"output", {rows, n}}}, {}, {}});
        }
      }
    }
  }
  return all;
}

}  // namespace layerhub::layers
