// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <layerhub/sdk/formats.hpp>

#include <cmath>
#include <cstring>
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

const char* format_of(TensorType type) {
  switch (type) {
    case TensorType::q4_0: return "gguf.q4_0";
    case TensorType::q4_1: return "gguf.q4_1";
    case TensorType::q8_0: return "gguf.q8_0";
    default: return "";
  }
}

void set(Linear& layer, const GgufTensor& t) {
  void* data = const_cast<std::byte*>(t.bytes.data());  // mapped read-only: nothing writes to a weight
  layer.format = format_of(t.type);
  const bool plain = layer.format.empty();
  const auto row_bytes = static_cast<std::int64_t>(t.bytes.size()) / t.rows();
  layer.weight = plain ? matrix(data, t.rows(), t.columns(), t.type == TensorType::f16 ? Dtype::f16 : Dtype::f32)
                       : matrix(data, t.rows(), row_bytes, Dtype::u8);
}

void set(RMSNorm& layer, const Gguf& file, const std::string& name, const Config& config) {
  const GgufTensor& t = checked(file, name, 1, config.width);
  if (t.type != TensorType::f32) {
    throw GgufError(file.path() + ": tensor " + name + " is not F32; norms in other types can't be read");
  }
  layer.weight = vector(const_cast<std::byte*>(t.bytes.data()), config.width);
  layer.variance_epsilon = config.epsilon;
}

// Calls the layer and adds the time to its kind's.
template <class Layer, class... Arguments>
void timed(Sequence& sequence, const Layer& layer, Arguments&&... arguments) {
  const auto begin = std::chrono::steady_clock::now();
  layer(arguments...);
  LayerTimes& times = sequence.times[static_cast<std::size_t>(kind_of(layer))];
  times.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  ++times.calls;
}

// Memory for a matrix of floats, as long as this lives.
struct Buffer {
  Buffer(std::int64_t rows, std::int64_t columns)
      : values(static_cast<std::size_t>(rows * columns)), view(matrix(values.data(), rows, columns)) {}
  std::vector<float> values;
  Tensor view;
};

void add(Tensor& x, const Tensor& y) {
  for (std::int64_t t = 0; t < x.rows(); ++t) {
    for (std::int64_t i = 0; i < x.width(); ++i) {
      x.row(t)[i] += y.row(t)[i];
    }
  }
}

}  // namespace

Sequence::Sequence(const Config& config, std::int64_t positions, Dtype cache_dtype)
    : capacity(positions),
      dtype_(cache_dtype),
      kv_heads_(config.kv_heads),
      head_size_(config.head_size),
      memory_(static_cast<std::size_t>(2 * config.n_blocks * capacity * kv_heads_ * head_size_) *
              (dtype_ == Dtype::f16 ? 2 : 4)) {}

Tensor Sequence::cache(std::int64_t index) {
  const std::int64_t bytes = capacity * kv_heads_ * head_size_ * (dtype_ == Dtype::f16 ? 2 : 4);
  return {memory_.data() + index * bytes,
          dtype_,
          3,
          {capacity, kv_heads_, head_size_},
          {kv_heads_ * head_size_, head_size_, 1}};
}

Model::Model(const Gguf& file) : config_(read_config(file)), blocks_(static_cast<std::size_t>(config_.n_blocks)) {
  const Config& c = config_;
  const std::int64_t kv_width = c.kv_heads * c.head_size;
  embedding_ = checked(file, "token_embd.weight", c.vocabulary, c.width);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    Block& b = blocks_[i];
    const std::string prefix = "blk." + std::to_string(i) + ".";
    set(b.attention_norm, file, prefix + "attn_norm.weight", c);
    set(b.q, checked(file, prefix + "attn_q.weight", c.width, c.width));
    set(b.k, checked(file, prefix + "attn_k.weight", kv_width, c.width));
    set(b.v, checked(file, prefix + "attn_v.weight", kv_width, c.width));
    set(b.o, checked(file, prefix + "attn_output.weight", c.width, c.width));
    set(b.mlp_norm, file, prefix + "ffn_norm.weight", c);
    set(b.gate, checked(file, prefix + "ffn_gate.weight", c.mlp_width, c.width));
    set(b.up, checked(file, prefix + "ffn_up.weight", c.mlp_width, c.width));
    set(b.down, checked(file, prefix + "ffn_down.weight", c.width, c.mlp_width));
  }
  set(output_norm_, file, "output_norm.weight", c);
  set(output_, file.has_tensor("output.weight") ? checked(file, "output.weight", c.vocabulary, c.width) : embedding_);
}

void Model::embed(std::span<const TokenId> tokens, Tensor& x) const {
  const auto row_bytes = embedding_.bytes.size() / static_cast<std::size_t>(config_.vocabulary);
  const layerhub::sdk::BlockFormat* blocks = layerhub::sdk::find_block_format(format_of(embedding_.type));
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const auto* row = reinterpret_cast<const std::uint8_t*>(embedding_.bytes.data()) +
                      static_cast<std::size_t>(tokens[t]) * row_bytes;
    float* to = x.row(static_cast<std::int64_t>(t));
    if (blocks != nullptr) {
      for (std::int64_t b = 0; b < config_.width / blocks->elements; ++b) {
        blocks->dequantize(row + b * blocks->bytes, to + b * blocks->elements);
      }
    } else if (embedding_.type == TensorType::f16) {
      for (std::int64_t i = 0; i < config_.width; ++i) {
        to[i] = layerhub::sdk::detail::half_at(row + 2 * i);
      }
    } else {
      std::memcpy(to, row, row_bytes);
    }
  }
}

// cos and sin of position * base^(-2i / size)
void Model::angles(std::int64_t first, Tensor& cos, Tensor& sin) const {
  for (std::int64_t t = 0; t < cos.rows(); ++t) {
    for (std::int64_t i = 0; i < cos.width(); ++i) {
      const double angle = static_cast<double>(first + t) *
                           std::pow(static_cast<double>(config_.rope_base),
                                    -2.0 * static_cast<double>(i) / static_cast<double>(config_.head_size));
      cos.row(t)[i] = static_cast<float>(std::cos(angle));
      sin.row(t)[i] = static_cast<float>(std::sin(angle));
    }
  }
}

void Model::run_block(std::int64_t index, Tensor& x, const Tensor& cos, const Tensor& sin, Sequence& s) const {
  const Block& b = blocks_[static_cast<std::size_t>(index)];
  const Config& c = config_;
  const std::int64_t tokens = x.rows(), kv_width = c.kv_heads * c.head_size;
  Buffer normed(tokens, c.width), q(tokens, c.width), k(tokens, kv_width), v(tokens, kv_width),
      q_turned(tokens, c.width), k_turned(tokens, kv_width), attended(tokens, c.width), result(tokens, c.width);

  timed(s, b.attention_norm, x, normed.view);
  timed(s, b.q, normed.view, q.view);
  timed(s, b.k, normed.view, k.view);
  timed(s, b.v, normed.view, v.view);
  Tensor q_heads = q_turned.view.heads(c.heads), k_heads = k_turned.view.heads(c.kv_heads);
  timed(s, b.rotary, q.view.heads(c.heads), k.view.heads(c.kv_heads), cos, sin, q_heads, k_heads);
  Tensor k_cache = s.k_cache(index), v_cache = s.v_cache(index), output = attended.view.heads(c.heads);
  timed(s, b.attention, q_heads, k_heads, v.view.heads(c.kv_heads), k_cache, v_cache, s.length,
        1 / std::sqrt(static_cast<float>(c.head_size)), output);
  timed(s, b.o, attended.view, result.view);
  add(x, result.view);

  Buffer gate_and_up(tokens, 2 * c.mlp_width), activated(tokens, c.mlp_width);
  Tensor gate = gate_and_up.view.columns(0, c.mlp_width), up = gate_and_up.view.columns(c.mlp_width, c.mlp_width);
  timed(s, b.mlp_norm, x, normed.view);
  timed(s, b.gate, normed.view, gate);
  timed(s, b.up, normed.view, up);
  timed(s, b.silu_and_mul, gate_and_up.view, activated.view);
  timed(s, b.down, activated.view, result.view);
  add(x, result.view);
}

void Model::forward(std::span<const TokenId> tokens, Sequence& s, bool every_token, std::vector<float>& logits) const {
  const auto count = static_cast<std::int64_t>(tokens.size());
  if (count > s.capacity - s.length) {
    throw std::length_error("the sequence has no room for " + std::to_string(count) + " more tokens");
  }
  Buffer x(count, config_.width), cos(count, config_.head_size / 2), sin(count, config_.head_size / 2);
  embed(tokens, x.view);
  angles(s.length, cos.view, sin.view);
  for (std::int64_t i = 0; i < config_.n_blocks; ++i) {
    run_block(i, x.view, cos.view, sin.view, s);
  }
  s.length += count;

  const std::int64_t first = every_token ? 0 : count - 1;
  Tensor last = matrix(x.view.row(first), count - first, config_.width);
  Buffer normed(count - first, config_.width);
  logits.resize(static_cast<std::size_t>((count - first) * config_.vocabulary));
  Tensor out = matrix(logits.data(), count - first, config_.vocabulary);
  timed(s, output_norm_, last, normed.view);
  timed(s, output_, normed.view, out);
}

void Model::drop_own_weights() {
  for (Block& b : blocks_) {
    for (Linear* layer : {&b.q, &b.k, &b.v, &b.o, &b.gate, &b.up, &b.down}) {
      layer->drop_own_weight();
    }
  }
  output_.drop_own_weight();
}

}  // namespace smollm2
