// SPDX-License-Identifier: Apache-2.0
// The community's activation layers: gated ones halve the last dimension, unary ones keep the shape.
//
//   SiluAndMul, GeluAndMul, GeluTanhAndMul    y = act(x[..., :d]) * x[..., d:]      x (..., 2d) -> y (..., d)
//   MulAndSilu                                y = x[..., :d] * silu(x[..., d:])
//   Silu, Gelu, GeluTanh, FastGELU, NewGELU, QuickGELU, ReLU                        x (...) -> y (...)
//
// The names and formulas are those of the layers that kernels on the Hub replace. FastGELU and NewGELU are
// tanh GELU with the constant sqrt(2/pi) cut to 8 digits, as the models that name them were trained.
#pragma once

#include <layerhub/sdk/layer.hpp>
#include <layerhub/sdk/reference.hpp>

#include <cmath>

namespace layerhub::layers {

namespace formula {

inline constexpr double sqrt_2_over_pi = 0.79788456080286535588;
inline constexpr double sqrt_2_over_pi_short = 0.79788456;

// x sigmoid(u). With 2 u it is x (1 + tanh(u)) / 2, without the digits that the sum loses where tanh nears -1.
inline double times_sigmoid(double x, double u) { return x / (1 + std::exp(-u)); }

inline double silu(double x) { return times_sigmoid(x, x); }
inline double gelu(double x) { return 0.5 * x * std::erfc(-x * 0.70710678118654752440); }
inline double gelu_tanh(double x) { return times_sigmoid(x, 2 * sqrt_2_over_pi * (x + 0.044715 * x * x * x)); }
inline double fast_gelu(double x) { return times_sigmoid(x, 2 * sqrt_2_over_pi_short * x * (1 + 0.044715 * x * x)); }
inline double new_gelu(double x) { return times_sigmoid(x, 2 * sqrt_2_over_pi_short * (x + 0.044715 * x * x * x)); }
inline double quick_gelu(double x) { return times_sigmoid(x, 1.702 * x); }
inline double relu(double x) { return x > 0 || std::isnan(x) ? x : 0; }

}  // namespace formula

namespace detail {

// y[i] = combine(x[i], x[i + d]) for each row.
template <class Combine>
void gated_reference(sdk::ReferenceCall& call, Combine combine) {
  const sdk::RealTensor& x = call.tensor("x");
  sdk::RealTensor& y = call.tensor("y");
  const std::int64_t d = y.last_dim();
  for (std::int64_t row = 0; row < y.row_count(); ++row) {
    for (std::int64_t i = 0; i < d; ++i) {
      y.row(row)[i] = combine(x.row(row)[i], x.row(row)[i + d]);
    }
  }
}

// Values about 0, where the formulas are rounded the most, and far out, where they saturate.
inline std::vector<sdk::Example> near_and_far() { return {{{}, {}, {}, 1}, {{}, {}, {}, 30}}; }

struct Gated {
  static constexpr std::array arguments{sdk::input("x"), sdk::output("y")};
  static constexpr std::array constraints{
      sdk::rank("x", 1, LH_MAX_RANK),         sdk::dim_multiple("x", -1, 2), sdk::same_shape_except("y", "x", -1),
      sdk::dim_ratio("y", -1, 1, "x", -1, 2), sdk::same_dtype("y", "x"),
  };
  static std::vector<sdk::Example> examples() { return near_and_far(); }
};

template <double (*activation)(double)>
struct Unary {
  static constexpr std::array arguments{sdk::input("x"), sdk::output("y")};
  static constexpr std::array constraints{sdk::rank("x", 1, LH_MAX_RANK), sdk::same_shape("y", "x"),
                                          sdk::same_dtype("y", "x")};
  static std::vector<sdk::Example> examples() { return near_and_far(); }
  static void reference(sdk::ReferenceCall& call) {
    const std::vector<double>& x = call.tensor("x").values;
    std::vector<double>& y = call.tensor("y").values;
    for (std::size_t i = 0; i < x.size(); ++i) {
      y[i] = activation(x[i]);
    }
  }
};

template <double (*activation)(double)>
struct ActivationAndMul : Gated {
  static void reference(sdk::ReferenceCall& call) {
    gated_reference(call, [](double gate, double up) { return activation(gate) * up; });
  }
};

}  // namespace detail

struct SiluAndMul : detail::ActivationAndMul<formula::silu> {
  static constexpr std::string_view name = "SiluAndMul";
};
struct GeluAndMul : detail::ActivationAndMul<formula::gelu> {
  static constexpr std::string_view name = "GeluAndMul";
};
struct GeluTanhAndMul : detail::ActivationAndMul<formula::gelu_tanh> {
  static constexpr std::string_view name = "GeluTanhAndMul";
};
struct MulAndSilu : detail::Gated {
  static constexpr std::string_view name = "MulAndSilu";
  static void reference(sdk::ReferenceCall& call) {
    detail::gated_reference(call, [](double up, double gate) { return up * formula::silu(gate); });
  }
};

struct Silu : detail::Unary<formula::silu> {
  static constexpr std::string_view name = "Silu";
};
struct Gelu : detail::Unary<formula::gelu> {
  static constexpr std::string_view name = "Gelu";
};
struct GeluTanh : detail::Unary<formula::gelu_tanh> {
  static constexpr std::string_view name = "GeluTanh";
};
struct FastGELU : detail::Unary<formula::fast_gelu> {
  static constexpr std::string_view name = "FastGELU";
};
struct NewGELU : detail::Unary<formula::new_gelu> {
  static constexpr std::string_view name = "NewGELU";
};
struct QuickGELU : detail::Unary<formula::quick_gelu> {
  static constexpr std::string_view name = "QuickGELU";
};
struct ReLU : detail::Unary<formula::relu> {
  static constexpr std::string_view name = "ReLU";
};

}  // namespace layerhub::layers
