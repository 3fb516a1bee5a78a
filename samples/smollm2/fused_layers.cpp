// SPDX-License-Identifier: Apache-2.0
#include "fused_layers.hpp"

#include "layer_times.hpp"
#include "placement.hpp"

namespace smollm2 {
namespace {

// What the parts of an MLP hand to each other. The thread keeps it: the next block and the next token need the same.
struct MlpMemory {
  Owned gate_and_up, activated;
};

MlpMemory& mlp_memory(layerhub::Device device, std::int64_t rows, std::int64_t width) {
  thread_local MlpMemory memory;
  Tensor& view = memory.activated.view;
  if (memory.activated.memory.device() != device || view.shape[0] < rows || view.shape[1] != width) {
    memory = {Owned(device, rows, 2 * width), Owned(device, rows, width)};
  }
  return memory;
}

}  // namespace

void ResidualRMSNorm::forward(const Tensor& hidden_states, const Tensor& residual, Tensor& output,
                              Tensor& new_residual) const {
  for (std::int64_t t = 0; t < hidden_states.rows(); ++t) {
    const float *x = hidden_states.row(t), *r = residual.row(t);
    float* sum = new_residual.row(t);
    for (std::int64_t i = 0; i < hidden_states.width(); ++i) {
      sum[i] = x[i] + r[i];
    }
  }
  timed(norm, new_residual, output);
}

void QKVLinear::forward(const Tensor& x, Tensor& q, Tensor& k, Tensor& v) const {
  timed(q_proj, x, q);
  timed(k_proj, x, k);
  timed(v_proj, x, v);
}

void SwiGLUMLP::forward(const Tensor& x, Tensor& output) const {
  const std::int64_t rows = x.rows(), width = gate_proj.weight.shape[0];
  const MlpMemory& memory = mlp_memory(layerhub::Device::of(x.device), rows, width);
  const Tensor gate_and_up = memory.gate_and_up.view.rows_from(0, rows);
  Tensor gate = gate_and_up.columns(0, width), up = gate_and_up.columns(width, width);
  Tensor activated = memory.activated.view.rows_from(0, rows);
  timed(gate_proj, x, gate);
  timed(up_proj, x, up);
  timed(silu_and_mul, gate_and_up, activated);
  timed(down_proj, activated, output);
}

}  // namespace smollm2
