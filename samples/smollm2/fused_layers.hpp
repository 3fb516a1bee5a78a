// SPDX-License-Identifier: Apache-2.0
// Layers that do the work of several, offered to plugins like any other. One kernel then reads the activations once for
// three products, or adds and normalizes in one pass; where no kernel serves the whole, its own forward calls the
// parts, which are marked layers too and may have kernels of their own.
#pragma once

#include "layers.hpp"

namespace smollm2 {

// new_residual = hidden_states + residual, output = RMSNorm of that sum. new_residual may be residual itself.
struct ResidualRMSNorm : layerhub::use_kernel_forward_from_hub<ResidualRMSNorm, "ResidualRMSNorm"> {
  RMSNorm norm;

  auto hub_members() const { return norm.hub_members(); }
  // Adds on the cpu: on another device it needs a kernel.
  void forward(const Tensor& hidden_states, const Tensor& residual, Tensor& output, Tensor& new_residual) const;
  static constexpr bool parts_do_all = false;
  void visit_parts(auto&& visit) const { visit(norm); }
};

// The three projections of an attention.
struct QKVLinear : layerhub::use_kernel_forward_from_hub<QKVLinear, "QKVLinear"> {
  Linear q_proj, k_proj, v_proj;

  auto hub_members() const {
    return layerhub::members(layerhub::param("q_proj.weight", q_proj.weight, q_proj.format),
                             layerhub::param("k_proj.weight", k_proj.weight, k_proj.format),
                             layerhub::param("v_proj.weight", v_proj.weight, v_proj.format));
  }
  void forward(const Tensor& x, Tensor& q, Tensor& k, Tensor& v) const;
  static constexpr bool parts_do_all = true;
  void visit_parts(auto&& visit) const {
    visit(q_proj);
    visit(k_proj);
    visit(v_proj);
  }
};

// output = (silu(x gate^T) * (x up^T)) down^T
struct SwiGLUMLP : layerhub::use_kernel_forward_from_hub<SwiGLUMLP, "SwiGLUMLP"> {
  Linear gate_proj, up_proj, down_proj;
  SiluAndMul silu_and_mul;

  auto hub_members() const {
    return layerhub::members(layerhub::param("gate_proj.weight", gate_proj.weight, gate_proj.format),
                             layerhub::param("up_proj.weight", up_proj.weight, up_proj.format),
                             layerhub::param("down_proj.weight", down_proj.weight, down_proj.format));
  }
  void forward(const Tensor& x, Tensor& output) const;
  static constexpr bool parts_do_all = true;
  void visit_parts(auto&& visit) const {
    visit(gate_proj);
    visit(up_proj);
    visit(silu_and_mul);
    visit(down_proj);
  }
};

// parts_do_all: the own forward is nothing but calls of the parts, so that it runs wherever they do.
template <class Layer>
concept FusedLayer = requires(const Layer& layer) {
  layer.visit_parts([](const auto&) {});
};

}  // namespace smollm2
