// SPDX-License-Identifier: Apache-2.0
// Linear: output = input weight^T + bias, for the last dimension of the input.
//
//   Linear      input (..., K), weight (N, K), bias? (N) -> output (..., N)
//   QKVLinear   x (..., K), for p in q, k, v: p_proj.weight (Np, K), p_proj.bias? (Np) -> q, k, v (..., Np)
//
// QKVLinear is the three projections of an attention in one call: what a kernel prepares of x it prepares once, and its
// threads meet once. k and v are often narrower than q.
//
// A weight is a plain float matrix, or of a GGUF block format: uint8 (N, bytes of a row), see sdk/formats.hpp.
#pragma once

#include <layerhub/sdk/layer.hpp>
#include <layerhub/sdk/reference.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace layerhub::layers {

namespace detail {

inline constexpr std::string_view weight_formats = "gguf.q4_0,gguf.q4_1,gguf.q8_0";

// y = x w^T + bias; bias: NULL for none.
inline void linear_reference(const sdk::RealTensor& x, const sdk::RealTensor& w, const sdk::RealTensor* bias,
                             sdk::RealTensor& y) {
  for (std::int64_t row = 0; row < x.row_count(); ++row) {
    for (std::int64_t n = 0; n < w.shape[0]; ++n) {
      double sum = bias == nullptr ? 0 : bias->values[static_cast<std::size_t>(n)];
      for (std::int64_t k = 0; k < x.last_dim(); ++k) {
        sum += x.row(row)[k] * w.row(n)[k];
      }
      y.row(row)[n] = sum;
    }
  }
}

}  // namespace detail

struct Linear {
  static constexpr std::string_view name = "Linear";
  static constexpr std::array arguments{sdk::input("input"), sdk::param("weight", detail::weight_formats),
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
    detail::linear_reference(call.tensor("input"), call.tensor("weight"),
                             call.has("bias") ? &call.tensor("bias") : nullptr, call.tensor("output"));
  }

  static std::vector<sdk::Example> examples();
};

// One row, many and more than stay in a cache together, row counts of the weight that fill no tile, one block and
// several, and inputs of which single elements are far above the rest.
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
  for (const std::int64_t rows : {1, 5, 70}) {
    for (const std::int64_t k : {32, 96, 352}) {
      all.push_back({{{"input", {rows, k}}, {"weight", {83, k}}, {"output", {rows, 83}}}, {}, {}, 1, 1.0 / 100});
    }
  }
  for (const std::int64_t rows : {5, 7, 130}) {  // sums so long that a product takes them in parts
    all.push_back({{{"input", {rows, 672}}, {"weight", {50, 672}}, {"output", {rows, 50}}}, {}, {}});
    all.push_back({{{"input", {rows, 1312}}, {"weight", {34, 1312}}, {"output", {rows, 34}}}, {}, {}, 0.5, 1.0 / 100});
  }
  all.push_back({{{"input", {550, 32}}, {"weight", {50, 32}}, {"output", {550, 50}}}, {}, {}});
  return all;
}

struct QKVLinear {
  static constexpr std::string_view name = "QKVLinear";
  static constexpr std::array arguments{sdk::input("x"),
                                        sdk::param("q_proj.weight", detail::weight_formats),
                                        sdk::param("k_proj.weight", detail::weight_formats),
                                        sdk::param("v_proj.weight", detail::weight_formats),
                                        sdk::optional(sdk::param("q_proj.bias")),
                                        sdk::optional(sdk::param("k_proj.bias")),
                                        sdk::optional(sdk::param("v_proj.bias")),
                                        sdk::output("q"),
                                        sdk::output("k"),
                                        sdk::output("v")};
  static constexpr std::array constraints{
      sdk::rank("q_proj.weight", 2, 2),
      sdk::rank("k_proj.weight", 2, 2),
      sdk::rank("v_proj.weight", 2, 2),
      sdk::rank("q_proj.bias", 1, 1),
      sdk::rank("k_proj.bias", 1, 1),
      sdk::rank("v_proj.bias", 1, 1),
      sdk::same_dim("q_proj.bias", 0, "q_proj.weight", 0),
      sdk::same_dim("k_proj.bias", 0, "k_proj.weight", 0),
      sdk::same_dim("v_proj.bias", 0, "v_proj.weight", 0),
      sdk::same_dim("x", -1, "q_proj.weight", 1),
      sdk::same_dim("x", -1, "k_proj.weight", 1),
      sdk::same_dim("x", -1, "v_proj.weight", 1),
      sdk::same_dim("q", -1, "q_proj.weight", 0),
      sdk::same_dim("k", -1, "k_proj.weight", 0),
      sdk::same_dim("v", -1, "v_proj.weight", 0),
      sdk::same_shape_except("q", "x", -1),
      sdk::same_shape_except("k", "x", -1),
      sdk::same_shape_except("v", "x", -1),
      sdk::same_dtype("q", "x"),
      sdk::same_dtype("k", "x"),
      sdk::same_dtype("v", "x"),
  };

  static void reference(sdk::ReferenceCall& call) {
    for (const std::string p : {"q", "k", "v"}) {
      detail::linear_reference(call.tensor("x"), call.tensor(p + "_proj.weight"),
                               call.has(p + "_proj.bias") ? &call.tensor(p + "_proj.bias") : nullptr, call.tensor(p));
    }
  }

  static std::vector<sdk::Example> examples();
};

// One row and several; projections of different heights, that fill tiles and that don't.
inline std::vector<sdk::Example> QKVLinear::examples() {
  std::vector<sdk::Example> all;
  const auto add = [&](std::int64_t rows, std::int64_t columns, std::int64_t q, std::int64_t k, std::int64_t v) {
    all.push_back({{{"x", {rows, columns}},
                    {"q_proj.weight", {q, columns}},
                    {"k_proj.weight", {k, columns}},
                    {"v_proj.weight", {v, columns}}},
                   {},
                   {}});
  };
  add(1, 192, 96, 32, 32);
  add(1, 64, 100, 37, 51);
  add(3, 96, 64, 48, 80);
  add(21, 32, 83, 50, 49);
  add(1, 576, 96, 64, 64);  // enough for two threads with one row, and for tiles that are claimed with many
  add(15, 576, 40, 33, 32);
  return all;
}

}  // namespace layerhub::layers
