// SPDX-License-Identifier: Apache-2.0
// The model's five kinds of layers; fused_layers.hpp has those that do the work of several. Each is marked for layerhub
// and has a forward of its own: plain scalar C++ on float32, one thread, which is what runs where no plugin serves the
// layer.
#pragma once

#include "tensor.hpp"

#include <layerhub/layerhub.hpp>

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace smollm2 {

// y = x / sqrt(mean(x^2) + epsilon) * weight, per row
struct RMSNorm : layerhub::use_kernel_forward_from_hub<RMSNorm, "RMSNorm"> {
  Tensor weight;  // [width]
  float variance_epsilon = 0;

  auto hub_members() const {
    return layerhub::members(layerhub::param("weight", weight),
                             layerhub::attribute("variance_epsilon", variance_epsilon));
  }
  void forward(const Tensor& hidden_states, Tensor& output) const;
};

// output = input weight^T
struct Linear : layerhub::use_kernel_forward_from_hub<Linear, "Linear"> {
  Tensor weight;       // as the file has it: with a block format uint8 [rows, bytes of a row]
  std::string format;  // "" or "gguf.q4_1", ...

  auto hub_members() const { return layerhub::members(layerhub::param("weight", weight, format)); }
  void forward(const Tensor& input, Tensor& output) const;

  // The weight as float32, made at the first own forward and kept until it is dropped.
  const std::vector<float>& own_weight() const;
  void drop_own_weight() const { std::vector<float>().swap(own_weight_); }

 private:
  mutable std::mutex mutex_;
  mutable std::vector<float> own_weight_;
};

// Turns the pairs of each head of q and k by the angles of their position.
struct RotaryPosEmb : layerhub::use_kernel_forward_from_hub<RotaryPosEmb, "rotary_pos_emb"> {
  bool interleaved = true;  // pairs (2i, 2i + 1), as the file's weights are laid out

  auto hub_members() const { return layerhub::members(layerhub::attribute("interleaved", interleaved)); }
  // q [T, Hq, D], k [T, Hk, D], cos and sin [T, D/2]
  void forward(const Tensor& q, const Tensor& k, const Tensor& cos, const Tensor& sin, Tensor& q_out,
               Tensor& k_out) const;
};

// softmax(scale q k^T) v over the positions up to each row's own; writes k and v into the caches at kv_length first.
struct CausalAttention : layerhub::use_kernel_forward_from_hub<CausalAttention, "CausalAttention"> {
  // q [T, Hq, D]; k, v [T, Hk, D]; caches [capacity, Hk, D], f16 or f32
  void forward(const Tensor& q, const Tensor& k, const Tensor& v, Tensor& k_cache, Tensor& v_cache,
               std::int64_t kv_length, float scale, Tensor& output) const;
};

// y = silu(x[:, :d]) * x[:, d:]
struct SiluAndMul : layerhub::use_kernel_forward_from_hub<SiluAndMul, "SiluAndMul"> {
  void forward(const Tensor& x, Tensor& y) const;
};

}  // namespace smollm2
