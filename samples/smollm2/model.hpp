// SPDX-License-Identifier: Apache-2.0
// The transformer, named as in the paper: an embedding, blocks of attention and MLP with a norm before each, a
// last norm, and the output head, which is the embedding again where the file has no own one.
#pragma once

#include "gguf.hpp"
#include "layers.hpp"
#include "placement.hpp"
#include "tokenizer.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace smollm2 {

struct Config {
  std::int64_t width, heads, kv_heads, head_size, mlp_width, n_blocks, vocabulary, context;
  float epsilon, rope_base;
};

struct Block {
  RMSNorm attention_norm, mlp_norm;
  Linear q, k, v, o, gate, up, down;
  RotaryPosEmb rotary;
  CausalAttention attention;
  SiluAndMul silu_and_mul;
};

enum class LayerKind : std::uint8_t { norm, linear, rotary, attention, activation };
constexpr std::array<const char*, 5> layer_names{"RMSNorm", "Linear", "rotary_pos_emb", "CausalAttention",
                                                 "SiluAndMul"};

// How often the layers of a kind were called and for how long.
struct LayerTimes {
  std::uint64_t calls = 0;
  double seconds = 0;
};

// One sequence: the caches and how far they are filled, and what was measured on the way.
struct Sequence {
  // device: of the caches, that of the attention.
  Sequence(const Config& config, std::int64_t capacity, Dtype cache_dtype, layerhub::Device device);

  Tensor k_cache(std::int64_t block) { return cache(2 * block); }
  Tensor v_cache(std::int64_t block) { return cache(2 * block + 1); }

  std::int64_t length = 0, capacity;
  std::array<LayerTimes, layer_names.size()> times{};
  Copies copies;

 private:
  Tensor cache(std::int64_t index);

  Dtype dtype_;
  std::int64_t kv_heads_, head_size_;
  layerhub::Buffer memory_;
};

struct AttentionMemory;
struct MlpMemory;

class Model {
 public:
  explicit Model(const Gguf& file);  // throws GgufError; the file must outlive the model

  const Config& config() const { return config_; }

  // Appends the tokens to the sequence. logits: of the last token, or of every one: rows of config().vocabulary.
  void forward(std::span<const TokenId> tokens, Sequence& sequence, bool every_token, std::vector<float>& logits) const;

  // Puts the weights of each part on its device, or back where the file has them. For when no layer is bound: weights
  // move.
  void place(const Placement& placement);
  const Placement& placement() const { return placement_; }
  const Copies& copies_of_weights() const { return weight_copies_; }

  // Every marked layer, in the order of the forward pass.
  template <class Visit>
  void visit_layers(Visit&& visit) const {
    for (const Block& b : blocks_) {
      visit_attention(b, visit);
      visit_mlp(b, visit);
    }
    visit(output_norm_);
    visit(output_);
  }

  // Every marked layer with the device that it is placed on.
  template <class Visit>
  void visit_with_device(Visit&& visit) const {
    for (const Part part : {Part::attention, Part::mlp, Part::head}) {
      visit_part(part, [&](const auto& layer) { visit(layer, placement_.of(part)); });
    }
  }

  // Those of one part.
  template <class Visit>
  void visit_part(Part part, Visit&& visit) const {
    for (const Block& b : blocks_) {
      if (part == Part::attention) {
        visit_attention(b, visit);
      } else if (part == Part::mlp) {
        visit_mlp(b, visit);
      }
    }
    if (part == Part::head) {
      visit(output_norm_);
      visit(output_);
    }
  }

  void drop_own_weights();

 private:
  void embed(std::span<const TokenId> tokens, Tensor& x) const;
  void angles(std::int64_t first, Tensor& cos, Tensor& sin) const;
  void run_attention(std::int64_t index, AttentionMemory& memory, Tensor& x, const Tensor& cos, const Tensor& sin,
                     Sequence& sequence) const;
  void run_mlp(std::int64_t index, MlpMemory& memory, Tensor& x, Sequence& sequence) const;

  template <class Visit>
  static void visit_attention(const Block& b, Visit& visit) {
    visit(b.attention_norm);
    visit(b.q);
    visit(b.k);
    visit(b.v);
    visit(b.rotary);
    visit(b.attention);
    visit(b.o);
  }
  template <class Visit>
  static void visit_mlp(const Block& b, Visit& visit) {
    visit(b.mlp_norm);
    visit(b.gate);
    visit(b.up);
    visit(b.silu_and_mul);
    visit(b.down);
  }

  const Gguf& file_;
  Placement placement_;
  std::vector<Owned> placed_weights_;
  Copies weight_copies_;
  Config config_;
  GgufTensor embedding_;
  std::vector<Block> blocks_;
  RMSNorm output_norm_;
  Linear output_;
};

// The layer's kind, for the table.
constexpr LayerKind kind_of(const RMSNorm&) { return LayerKind::norm; }
constexpr LayerKind kind_of(const Linear&) { return LayerKind::linear; }
constexpr LayerKind kind_of(const RotaryPosEmb&) { return LayerKind::rotary; }
constexpr LayerKind kind_of(const CausalAttention&) { return LayerKind::attention; }
constexpr LayerKind kind_of(const SiluAndMul&) { return LayerKind::activation; }

}  // namespace smollm2
