// SPDX-License-Identifier: Apache-2.0
// The community's normalization layers, each over the last dimension d of hidden_states (..., d).
//
//   RMSNorm     output = x * rsqrt(mean(x^2) + variance_epsilon) * weight
//   LayerNorm   output = (x - mean(x)) * rsqrt(var(x) + variance_epsilon) * weight + bias
//   ResidualRMSNorm
//               new_residual = x + residual, output = RMSNorm of that sum: what stands between two parts of a
//               transformer. new_residual may be the residual's own memory; nothing else may overlap.
//
// The variance is that of d numbers, not d - 1; the bias is optional.
//
// Kernels may take the sum of squares in float32, as frameworks do: a row whose sum is beyond that, of numbers around
// 1e19 and more, gives zeros or NaN; so may one of numbers around 1e-19 and less with an epsilon of 0, or infinity.
// They may multiply an element by its weight first: that product is to be a float32 too.
//
// The weight's dtype may differ from the activations': models keep float32 weights beside bfloat16 activations.
#pragma once

#include <layerhub/sdk/layer.hpp>
#include <layerhub/sdk/reference.hpp>

#include <cmath>

namespace layerhub::layers {

struct RMSNorm {
  static constexpr std::string_view name = "RMSNorm";
  static constexpr std::array arguments{sdk::input("hidden_states"), sdk::param("weight"), sdk::output("output")};
  static constexpr std::array attributes{sdk::required_float("variance_epsilon")};
  static constexpr std::array constraints{
      sdk::rank("hidden_states", 1, LH_MAX_RANK),       sdk::rank("weight", 1, 1),
      sdk::same_dim("weight", -1, "hidden_states", -1), sdk::same_shape("output", "hidden_states"),
      sdk::same_dtype("output", "hidden_states"),
  };

  static void reference(sdk::ReferenceCall& call) {
    normalize(call, call.tensor("hidden_states"), call.tensor("output"));
  }

  // y = x * rsqrt(mean(x^2) + variance_epsilon) * weight
  static void normalize(sdk::ReferenceCall& call, const sdk::RealTensor& x, sdk::RealTensor& y) {
    const std::vector<double>& weight = call.tensor("weight").values;
    const std::int64_t d = x.last_dim();
    for (std::int64_t row = 0; row < x.row_count(); ++row) {
      double sum = 0;
      for (std::int64_t i = 0; i < d; ++i) {
        sum += x.row(row)[i] * x.row(row)[i];
      }
      const double scale = 1 / std::sqrt(sum / static_cast<double>(d) + call.number("variance_epsilon"));
      for (std::int64_t i = 0; i < d; ++i) {
        y.row(row)[i] = x.row(row)[i] * scale * weight[static_cast<std::size_t>(i)];
      }
    }
  }

  static std::vector<sdk::Example> examples() {
    return {{{}, {{"variance_epsilon", 1e-5}}, {}}, {{}, {{"variance_epsilon", 0.5}}, {}}};
  }
};

struct ResidualRMSNorm {
  static constexpr std::string_view name = "ResidualRMSNorm";
  static constexpr std::array arguments{sdk::input("hidden_states"), sdk::input("residual"), sdk::param("weight"),
                                        sdk::output("output"), sdk::output("new_residual")};
  static constexpr std::array attributes{sdk::required_float("variance_epsilon")};
  static constexpr std::array constraints{
      sdk::rank("hidden_states", 1, LH_MAX_RANK),
      sdk::rank("weight", 1, 1),
      sdk::same_dim("weight", -1, "hidden_states", -1),
      sdk::same_shape("residual", "hidden_states"),
      sdk::same_dtype("residual", "hidden_states"),
      sdk::same_shape("output", "hidden_states"),
      sdk::same_dtype("output", "hidden_states"),
      sdk::same_shape("new_residual", "hidden_states"),
      sdk::same_dtype("new_residual", "hidden_states"),
      sdk::may_alias("new_residual", "residual"),
  };

  static void reference(sdk::ReferenceCall& call) {
    const sdk::RealTensor &x = call.tensor("hidden_states"), &residual = call.tensor("residual");
    sdk::RealTensor& sum = call.tensor("new_residual");
    for (std::size_t i = 0; i < sum.values.size(); ++i) {
      sum.values[i] = x.values[i] + residual.values[i];
    }
    RMSNorm::normalize(call, sum, call.tensor("output"));
  }

  static std::vector<sdk::Example> examples() { return RMSNorm::examples(); }
};

struct LayerNorm {
  static constexpr std::string_view name = "LayerNorm";
  static constexpr std::array arguments{sdk::input("hidden_states"), sdk::param("weight"),
                                        sdk::optional(sdk::param("bias")), sdk::output("output")};
  static constexpr std::array attributes{sdk::required_float("variance_epsilon")};
  static constexpr std::array constraints{
      sdk::rank("hidden_states", 1, LH_MAX_RANK),
      sdk::rank("weight", 1, 1),
      sdk::same_dim("weight", -1, "hidden_states", -1),
      sdk::same_shape("bias", "weight"),
      sdk::same_dtype("bias", "weight"),
      sdk::same_shape("output", "hidden_states"),
      sdk::same_dtype("output", "hidden_states"),
  };

  static void reference(sdk::ReferenceCall& call) {
    const sdk::RealTensor& x = call.tensor("hidden_states");
    const std::vector<double>& weight = call.tensor("weight").values;
    sdk::RealTensor& y = call.tensor("output");
    const std::int64_t d = x.last_dim();
    for (std::int64_t row = 0; row < x.row_count(); ++row) {
      double mean = 0;
      for (std::int64_t i = 0; i < d; ++i) {
        mean += x.row(row)[i] / static_cast<double>(d);
      }
      double variance = 0;
      for (std::int64_t i = 0; i < d; ++i) {
        variance += (x.row(row)[i] - mean) * (x.row(row)[i] - mean) / static_cast<double>(d);
      }
      const double scale = 1 / std::sqrt(variance + call.number("variance_epsilon"));
      for (std::int64_t i = 0; i < d; ++i) {
        const auto column = static_cast<std::size_t>(i);
        const double bias = call.has("bias") ? call.tensor("bias").values[column] : 0;
        y.row(row)[i] = (x.row(row)[i] - mean) * scale * weight[column] + bias;
      }
    }
  }

  static std::vector<sdk::Example> examples() {
    return {{{}, {{"variance_epsilon", 1e-5}}, {}}, {{}, {{"variance_epsilon", 0.5}}, {}}};
  }
};

}  // namespace layerhub::layers
