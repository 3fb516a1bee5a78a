// SPDX-License-Identifier: Apache-2.0
// What the model takes from the file: its sizes, checked before they are used, and its weights, where they are mapped.
#include "model.hpp"

#include <cmath>
#include <stdexcept>

namespace smollm2 {

namespace {

std::int64_t whole(const Gguf& file, const char* key, std::int64_t least, std::int64_t most) {
  const auto value = static_cast<std::int64_t>(file.integer(key));
  if (value < least || value > most) {
    throw GgufError(file.path() + ": its " + key + " is " + std::to_string(value) + "; it is damaged, fetch it again");
  }
  return value;
}

Config read_config(const Gguf& file) {
  Config c{};
  c.width = whole(file, "llama.embedding_length", 1, 1 << 20);
  c.heads = whole(file, "llama.attention.head_count", 1, 1 << 12);
  c.kv_heads = whole(file, "llama.attention.head_count_kv", 1, c.heads);
  c.head_size = c.width / c.heads;
  c.mlp_width = whole(file, "llama.feed_forward_length", 1, 1 << 24);
  c.n_blocks = whole(file, "llama.block_count", 1, 1 << 12);
  c.context = whole(file, "llama.context_length", 1, 1 << 24);
  c.vocabulary = file.tensor("token_embd.weight").rows();
  c.epsilon = static_cast<float>(file.real("llama.attention.layer_norm_rms_epsilon"));
  c.rope_base = static_cast<float>(file.has("llama.rope.freq_base") ? file.real("llama.rope.freq_base") : 10000.0);
  if (c.width % c.heads != 0 || c.heads % c.kv_heads != 0 || c.head_size % 2 != 0) {
    throw GgufError(file.path() + ": its width and its heads do not fit together; it is damaged, fetch it again");
  }
  return c;
}

const GgufTensor& checked(const Gguf& file, const std::string& name, std::int64_t rows, std::int64_t columns) {
  const GgufTensor& t = file.tensor(name);
  if (t.rows() != rows || t.columns() != columns || t.shape.size() > 2) {
    throw GgufError(file.path() + ": tensor " + name + " is not of the shape " + std::to_string(rows) + " x " +
                    std::to_string(columns) + "; it is damaged, fetch it again");
  }
  return t;
}

void set(Linear& layer, const GgufTensor& t) {
  void* data = const_cast<std::byte*>(t.bytes.data());  // mapped read-only: nothing writes to a weight
  layer.format = format_of(t.type);
  const bool plain = layer.format.empty();
  const auto row_bytes = static_cast<std::int64_t>(t.bytes.size()) / t.rows();
  layer.weight = plain ? matrix(data, t.rows(), t.columns(), t.type == TensorType::f16 ? Dtype::f16 : Dtype::f32)
                       : matrix(data, t.rows(), row_bytes, Dtype::u8);
}

void set(ResidualRMSNorm& layer, const Gguf& file, const std::string& name, const Config& config) {
  const GgufTensor& t = checked(file, name, 1, config.width);
  if (t.type != TensorType::f32) {
    throw GgufError(file.path() + ": tensor " + name + " is not F32; norms in other types can't be read");
  }
  layer.norm.weight = vector(const_cast<std::byte*>(t.bytes.data()), config.width);
  layer.norm.variance_epsilon = config.epsilon;
}

}  // namespace

Model::Model(const Gguf& file)
    : file_(file), config_(read_config(file)), blocks_(static_cast<std::size_t>(config_.n_blocks)) {
  for (std::int64_t i = 0; i < config_.head_size / 2; ++i) {
    frequencies_.push_back(std::pow(static_cast<double>(config_.rope_base),
                                    -2.0 * static_cast<double>(i) / static_cast<double>(config_.head_size)));
  }
  place({});
}

void Model::read_weights() {
  const Config& c = config_;
  embedding_ = checked(file_, "token_embd.weight", c.vocabulary, c.width);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    Block& b = blocks_[i];
    const std::string prefix = "blk." + std::to_string(i) + ".";
    set(b.attention_norm, file_, prefix + "attn_norm.weight", c);
    set(b.qkv.q_proj, checked(file_, prefix + "attn_q.weight", c.width, c.width));
    set(b.qkv.k_proj, checked(file_, prefix + "attn_k.weight", c.kv_width(), c.width));
    set(b.qkv.v_proj, checked(file_, prefix + "attn_v.weight", c.kv_width(), c.width));
    set(b.o, checked(file_, prefix + "attn_output.weight", c.width, c.width));
    set(b.mlp_norm, file_, prefix + "ffn_norm.weight", c);
    set(b.mlp.gate_proj, checked(file_, prefix + "ffn_gate.weight", c.mlp_width, c.width));
    set(b.mlp.up_proj, checked(file_, prefix + "ffn_up.weight", c.mlp_width, c.width));
    set(b.mlp.down_proj, checked(file_, prefix + "ffn_down.weight", c.width, c.mlp_width));
  }
  set(output_norm_, file_, "output_norm.weight", c);
  set(output_, file_.has_tensor("output.weight") ? checked(file_, "output.weight", c.vocabulary, c.width) : embedding_);
}

void Model::place(const Placement& placement) {
  read_weights();
  placed_weights_.clear();
  weight_copies_ = {};
  placement_ = placement;
  const auto move = [&](const auto& layer, layerhub::Device device) {
    if constexpr (requires { layer.weight; }) {
      placed_weights_.push_back(placed(layer.weight, device, weight_copies_));
      const_cast<Tensor&>(layer.weight) = placed_weights_.back().view;  // visitors see layers as a host calls them
    }
  };
  visit_with_device([&](const auto& layer, layerhub::Device device) {
    if (device == layerhub::Device::cpu()) {
      return;
    }
    move(layer, device);
    if constexpr (FusedLayer<std::remove_cvref_t<decltype(layer)>>) {
      layer.visit_parts([&](const auto& part) { move(part, device); });
    }
  });
}

void Model::drop_own_weights() const {
  visit_layers([](const auto& layer) {
    if constexpr (requires { layer.drop_own_weight(); }) {
      layer.drop_own_weight();
    }
  });
}

}  // namespace smollm2
