// SPDX-License-Identifier: Apache-2.0
// rotary_pos_emb: turns pairs of each head of q and k by the angles of their position.
//
//   q (T, Hq, D), k (T, Hk, D), cos, sin (T, D/2) -> q_out, k_out of the shapes of q and k
//   (a, b) -> (a cos - b sin, b cos + a sin)    with a pair (i, i + D/2), or (2i, 2i + 1) where `interleaved`
//
// cos and sin may also be (T, D) as in transformers, which has the D/2 angles twice, side by side: the first D/2
// columns are read. Another width than D/2 or D is invalid, which a kernel must check: no constraint can say
// "one of two".
#pragma once

#include <layerhub/sdk/layer.hpp>
#include <layerhub/sdk/reference.hpp>

namespace layerhub::layers {

struct RotaryPosEmb {
  static constexpr std::string_view name = "rotary_pos_emb";
  static constexpr std::array arguments{sdk::input("q"),   sdk::input("k"),      sdk::input("cos"),
                                        sdk::input("sin"), sdk::output("q_out"), sdk::output("k_out")};
  static constexpr std::array attributes{sdk::optional_bool("interleaved", false)};
  static constexpr std::array constraints{
      sdk::rank("q", 3, 3),          sdk::rank("k", 3, 3),
      sdk::dim_multiple("q", -1, 2), sdk::same_shape_except("k", "q", 1),
      sdk::rank("cos", 2, 2),        sdk::same_dim("cos", 0, "q", 0),
      sdk::same_shape("sin", "cos"), sdk::same_shape("q_out", "q"),
      sdk::same_shape("k_out", "k"), sdk::same_dtype("k", "q"),
      sdk::same_dtype("sin", "cos"), sdk::same_dtype("q_out", "q"),
      sdk::same_dtype("k_out", "k"),
  };

  static void reference(sdk::ReferenceCall& call) {
    rotate(call, "q", "q_out");
    rotate(call, "k", "k_out");
  }

  static std::vector<sdk::Example> examples();

 private:
  static void rotate(sdk::ReferenceCall& call, std::string_view from, std::string_view to) {
    const sdk::RealTensor& x = call.tensor(from);
    sdk::RealTensor& y = call.tensor(to);
    const std::int64_t half = x.last_dim() / 2;
    const bool interleaved = call.flag("interleaved");
    for (std::int64_t row = 0; row < x.row_count(); ++row) {
      const std::int64_t token = row / x.shape[1];
      for (std::int64_t i = 0; i < half; ++i) {
        const double c = call.tensor("cos").row(token)[i];
        const double s = call.tensor("sin").row(token)[i];
        const std::int64_t a = interleaved ? 2 * i : i;
        const std::int64_t b = interleaved ? 2 * i + 1 : i + half;
        y.row(row)[a] = x.row(row)[a] * c - x.row(row)[b] * s;
        y.row(row)[b] = x.row(row)[b] * c + x.row(row)[a] * s;
      }
    }
  }
};

// Heads of q and k, one token and many, widths that fill no vector, both forms of cos and of pairs.
inline std::vector<sdk::Example> RotaryPosEmb::examples() {
  struct Sizes {
    std::int64_t tokens, q_heads, k_heads, width;
  };
  std::vector<sdk::Example> all;
  for (const Sizes& s :
       {Sizes{1, 1, 1, 2}, Sizes{1, 9, 3, 64}, Sizes{5, 4, 1, 30}, Sizes{129, 9, 3, 64}, Sizes{33, 2, 2, 128}}) {
    for (const std::int64_t angles : {s.width / 2, s.width}) {
      for (const double interleaved : {0.0, 1.0}) {
        all.push_back({{{"q", {s.tokens, s.q_heads, s.width}},
                        {"k", {s.tokens, s.k_heads, s.width}},
                        {"cos", {s.tokens, angles}}},
                       {{"interleaved", interleaved}},
                       {}});
      }
    }
  }
  return all;
}

}  // namespace layerhub::layers
