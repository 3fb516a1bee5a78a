// SPDX-License-Identifier: Apache-2.0
// What a run shows at its end, for people and as JSON.
#pragma once

#include "generate.hpp"

#include <optional>
#include <string>
#include <vector>

namespace smollm2 {

// One line of the table: all layers of a kind that the same kernel serves.
struct LayerLine {
  std::string layer, device = "cpu";
  std::string repo, revision, kernel;  // empty: the layer's own forward
  std::uint64_t calls = 0;
  double share = 0;  // of the time of all layers
};

// What serves the layers now, with the calls and times of a run. A kind that several kernels serve has a line for each;
// its calls are divided by how many layers each serves.
std::vector<LayerLine> layer_lines(const Model& model, const Run& run);

struct Figures {
  std::vector<TokenId> prompt;
  struct Side {
    Run run;
    std::vector<LayerLine> layers;
  };
  std::optional<Side> hub, own;
  std::optional<double> agreement;  // of the hub run's likeliest tokens with the own run's, fed the latter
};

std::string table(const Figures& figures);
std::string json(const Figures& figures);

}  // namespace smollm2
