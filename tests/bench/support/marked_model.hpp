// SPDX-License-Identifier: Apache-2.0
// A model of 210 marked layers, for what costs by the layer: 30 blocks of 4 RMSNorm and 3 SiluAndMul.
#pragma once

#include "bench/support/host.hpp"

#include <array>
#include <vector>

namespace layerhub::bench {

struct MarkedModel {
  static constexpr int layers = 210;

  struct Block {
    std::array<RMSNorm, 4> norms{RMSNorm(576), RMSNorm(576), RMSNorm(576), RMSNorm(576)};
    std::array<SiluAndMul, 3> activations;
  };
  std::vector<Block> blocks = std::vector<Block>(30);

  void visit_layers(auto&& visit) {
    for (Block& block : blocks) {
      for (RMSNorm& norm : block.norms) visit(norm);
      for (SiluAndMul& activation : block.activations) visit(activation);
    }
  }
};

}  // namespace layerhub::bench
