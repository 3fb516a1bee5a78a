// SPDX-License-Identifier: Apache-2.0
// The transformer, named as in the paper: an embedding, blocks of attention and MLP with a norm before each, a
// last norm, and the output head, which is the embedding again where the file has no own one.
//
// What a part adds to the residual stream is added by the norm that follows it, so that one layer can do both.
#pragma once

#include "gguf.hpp"
#include "layers.hpp"
#include "placement.hpp"
#include "sequence.hpp"
#include "tokenizer.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace smollm2 {

struct Block {
  ResidualRMSNorm attention_norm, mlp_norm;
  QKVLinear qkv;
  RotaryPosEmb rotary;
  CausalAttention attention;
  Linear o;
  SwiGLUMLP mlp;
};

class Model {
 public:
  explicit Model(const Gguf& file);  // throws GgufError; the file must outlive the model

  const Config& config() const { return config_; }
  const Gguf& file() const { return file_; }

  // Appends the tokens to the sequence. logits: of the last token, or of every one: rows of config().vocabulary.
  void forward(std::span<const TokenId> tokens, Sequence& sequence, bool every_token, std::vector<float>& logits) const;

  // Puts the weights of each part on its device, or back where the file has them. For when no layer is bound: weights
  // move.
  void place(const Placement& placement);
  const Placement& placement() const { return placement_; }
  const Copies& copies_of_weights() const { return weight_copies_; }

  // A part's layers come in groups: one for each block; the head is one.
  std::size_t groups_of(Part part) const { return part == Part::head ? 1 : blocks_.size(); }
  // Those of one group in the order of the forward pass, fused layers whole.
  template <class Visit>
  void visit_group(Part part, std::size_t index, Visit&& visit) const {
    if (part == Part::attention) {
      const Block& b = blocks_[index];
      visit(b.attention_norm);
      visit(b.qkv);
      visit(b.rotary);
      visit(b.attention);
      visit(b.o);
    } else if (part == Part::mlp) {
      visit(blocks_[index].mlp_norm);
      visit(blocks_[index].mlp);
    } else {
      visit(output_norm_);
      visit(output_);
    }
  }
  // All of them with the device that each is placed on.
  template <class Visit>
  void visit_with_device(Visit&& visit) const {
    for (const Part part : {Part::attention, Part::mlp, Part::head}) {
      for (std::size_t i = 0; i < groups_of(part); ++i) {
        visit_group(part, i, [&](const auto& layer) { visit(layer, placement_.of(part)); });
      }
    }
  }
  // Every marked layer: fused ones and their parts.
  template <class Visit>
  void visit_layers(Visit&& visit) const {
    visit_with_device([&](const auto& layer, layerhub::Device) {
      visit(layer);
      if constexpr (FusedLayer<std::remove_cvref_t<decltype(layer)>>) {
        layer.visit_parts(visit);
      }
    });
  }

  void drop_own_weights() const;

 private:
  void read_weights();
  void embed(std::span<const TokenId> tokens, Tensor& x) const;
  void angles(std::int64_t first, Tensor& cos, Tensor& sin) const;
  void run_attention(std::int64_t block, const PassMemory& memory, std::int64_t wanted, const Tensor& cos,
                     const Tensor& sin, Stream& stream, Sequence& sequence) const;
  void run_mlp(std::int64_t block, const PassMemory& memory, Stream& stream, Sequence& sequence) const;
  void run_head(const PassMemory& memory, Stream& stream, Sequence& sequence, Tensor& logits) const;

  const Gguf& file_;
  Placement placement_;
  std::vector<Owned> placed_weights_;
  Copies weight_copies_;
  Config config_;
  std::vector<double> frequencies_;  // of the rotation, for each pair
  GgufTensor embedding_;
  std::vector<Block> blocks_;
  ResidualRMSNorm output_norm_;
  Linear output_;
};

}  // namespace smollm2
