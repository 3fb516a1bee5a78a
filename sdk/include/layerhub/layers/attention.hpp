// SPDX-License-Identifier: Apache-2.0
// CausalAttention over a cache of keys and values, for a step of one token or of many.
//
//   q (T, Hq, D), new k, v (T, Hk, D); states k_cache, v_cache (capacity, Hk, D); int kv_length, float scale
//   -> output (T, Hq, D)
//
// The new rows are written to the caches at kv_length.., then row t of q sees the positions 0 .. kv_length + t:
// softmax(scale * q . k) v, for each query head with the key head h * Hk / Hq. Hq is a multiple of Hk. kv_length counts
// what the caches held before the call; kv_length + T beyond the capacity is LH_INVALID and touches nothing.
//
// A row that sees a NaN is NaN. On a CPU no row meets what it doesn't see; on another device a NaN or infinity in the v
// of a token may also reach the tokens before it in the same call, since whole tiles are multiplied, by weights of 0.
#pragma once

#include <layerhub/sdk/layer.hpp>
#include <layerhub/sdk/reference.hpp>

#include <algorithm>
#include <cmath>

namespace layerhub::layers {

struct CausalAttention {
  static constexpr std::string_view name = "CausalAttention";
  static constexpr std::array arguments{sdk::input("q"),
                                        sdk::input("k"),
                                        sdk::input("v"),
                                        sdk::state("k_cache"),
                                        sdk::state("v_cache"),
                                        sdk::scalar_int("kv_length"),
                                        sdk::scalar_float("scale"),
                                        sdk::output("output")};
  static constexpr std::array constraints{
      sdk::rank("q", 3, 3),
      sdk::rank("k", 3, 3),
      sdk::rank("k_cache", 3, 3),
      sdk::same_shape_except("k", "q", 1),
      sdk::same_shape("v", "k"),
      sdk::same_dim("k_cache", 1, "k", 1),
      sdk::same_dim("k_cache", 2, "k", 2),
      sdk::same_shape("v_cache", "k_cache"),
      sdk::same_shape("output", "q"),
      sdk::same_dtype("k", "q"),
      sdk::same_dtype("v", "q"),
      sdk::same_dtype("output", "q"),
      sdk::same_dtype("v_cache", "k_cache"),
  };

  static void reference(sdk::ReferenceCall& call) {
    const sdk::RealTensor& q = call.tensor("q");
    const std::int64_t tokens = q.shape[0], heads = q.shape[1], width = q.shape[2],
                       kv_heads = call.tensor("k").shape[1];
    const std::int64_t before = call.integer("kv_length");
    for (const auto& [from, to] : {std::pair{"k", "k_cache"}, std::pair{"v", "v_cache"}}) {
      const sdk::RealTensor& fresh = call.tensor(from);
      std::copy(fresh.values.begin(), fresh.values.end(), call.tensor(to).values.begin() + before * kv_heads * width);
    }
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t h = 0; h < heads; ++h) {
        attend(call, t * heads + h, h * kv_heads / heads, before + t + 1, kv_heads);
      }
    }
  }

  static std::vector<sdk::Example> examples();

 private:
  static void attend(sdk::ReferenceCall& call, std::int64_t row, std::int64_t kv_head, std::int64_t positions,
                     std::int64_t kv_heads) {
    const sdk::RealTensor &q = call.tensor("q"), &keys = call.tensor("k_cache"), &values = call.tensor("v_cache");
    std::vector<double> weights(static_cast<std::size_t>(positions));
    double largest = -1e300, sum = 0;
    for (std::int64_t p = 0; p < positions; ++p) {
      double dot = 0;
      for (std::int64_t i = 0; i < q.last_dim(); ++i) {
        dot += q.row(row)[i] * keys.row(p * kv_heads + kv_head)[i];
      }
      weights[static_cast<std::size_t>(p)] = dot * call.number("scale");
      largest = std::max(largest, weights[static_cast<std::size_t>(p)]);
    }
    for (double& weight : weights) {
      sum += weight = std::exp(weight - largest);
    }
    double* out = call.tensor("output").row(row);
    std::fill(out, out + q.last_dim(), 0.0);
    for (std::int64_t p = 0; p < positions; ++p) {
      for (std::int64_t i = 0; i < q.last_dim(); ++i) {
        out[i] += weights[static_cast<std::size_t>(p)] / sum * values.row(p * kv_heads + kv_head)[i];
      }
    }
  }
};

// The first token, prompts, steps of one, of several and of no tokens, shallow and deep in the cache, its last place;
// groups of heads of several sizes, widths that fill no vector, and tokens of one call on both sides of a boundary at
// which a kernel may cut the positions.
inline std::vector<sdk::Example> CausalAttention::examples() {
  struct Sizes {
    std::int64_t tokens, q_heads, kv_heads, width, capacity, before;
  };
  std::vector<sdk::Example> all;
  for (const Sizes& s :
       {Sizes{1, 1, 1, 8, 1, 0},         Sizes{1, 9, 3, 64, 700, 0},     Sizes{1, 9, 3, 64, 1300, 1200},
        Sizes{5, 4, 2, 64, 40, 35},      Sizes{33, 9, 3, 64, 64, 7},     Sizes{70, 2, 1, 30, 600, 512},
        Sizes{2, 8, 8, 128, 1030, 1028}, Sizes{3, 6, 1, 256, 20, 11},    Sizes{3, 24, 24, 1, 5, 2},
        Sizes{1, 2, 1, 16, 140, 130},    Sizes{1, 3, 1, 3, 9, 4},        Sizes{1, 4, 2, 80, 150, 130},
        Sizes{1, 8, 1, 80, 300, 200},    Sizes{2, 2, 2, 16, 1100, 1023}, Sizes{5, 1, 1, 7, 64, 59},
        Sizes{16, 6, 2, 32, 200, 100},   Sizes{0, 6, 2, 32, 40, 0},      Sizes{0, 6, 2, 32, 40, 20},
        Sizes{17, 3, 3, 80, 40, 20},     Sizes{70, 2, 2, 256, 90, 20},   Sizes{200, 8, 1, 64, 220, 3}}) {
    all.push_back(
        {{{"q", {s.tokens, s.q_heads, s.width}},
          {"k", {s.tokens, s.kv_heads, s.width}},
          {"k_cache", {s.capacity, s.kv_heads, s.width}}},
         {{"kv_length", static_cast<double>(s.before)}, {"scale", 1 / std::sqrt(static_cast<double>(s.width))}},
         {}});
  }
  return all;
}

}  // namespace layerhub::layers
