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

// Calls the layer and adds the time to its kind's, on a device the time until its work is done.
template <class Layer, class First, class... Arguments>
void timed(Sequence& sequence, const Layer& layer, First&& first, Arguments&&... arguments) {
  const auto begin = std::chrono::steady_clock::now();
  layer(first, arguments...);
  if (first.device.device_type != kDLCPU) {
    layerhub::Stream::default_of(layerhub::Device::of(first.device)).synchronize();
  }
  LayerTimes& times = sequence.times[static_cast<std::size_t>(kind_of(layer))];
  times.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  ++times.calls;
}

void add(Tensor& x, const Tensor& y) {
  for (std::int64_t t = 0; t < x.rows(); ++t) {
    for (std::int64_t i = 0; i < x.width(); ++i) {
      x.row(t)[i] += y.row(t)[i];
    }
  }
}

}  // namespace

// What the blocks' parts compute in, on their devices; shared by all blocks of a pass. input and result are the parts'
// ends of the copies, and on the cpu the residual stream's own memory does for the first.
struct AttentionMemory {
  AttentionMemory(const Config& c, std::int64_t tokens, layerhub::Device d)
      : input(d, tokens, c.width),
        normed(d, tokens, c.width),
        q(d, tokens, c.width),
        k(d, tokens, c.kv_heads * c.head_size),
        v(d, tokens, c.kv_heads * c.head_size),
        q_turned(d, tokens, c.width),
        k_turned(d, tokens, c.kv_heads * c.head_size),
        attended(d, tokens, c.width),
        result(d, tokens, c.width),
        cos(d, tokens, c.head_size / 2),
        sin(d, tokens, c.head_size / 2) {}
  Owned input, normed, q, k, v, q_turned, k_turned, attended, result, cos, sin;
};

struct MlpMemory {
  MlpMemory(const Config& c, std::int64_t tokens, layerhub::Device d)
      : input(d, tokens, c.width),
        normed(d, tokens, c.width),
        gate_and_up(d, tokens, 2 * c.mlp_width),
        activated(d, tokens, c.mlp_width),
        result(d, tokens, c.width) {}
  Owned input, normed, gate_and_up, activated, result;
};

namespace {

// x where the part can read it.
const Tensor& brought(const Tensor& x, const Owned& to, Sequence& s) {
  if (to.memory.device() == layerhub::Device::cpu()) {
    return x;
  }
  copy_counted(x, to.view, s.copies);
  return to.view;
}

// x += result, which may be on a device.
void add_back(Tensor& x, const Owned& result, Sequence& s) {
  if (result.memory.device() == layerhub::Device::cpu()) {
    add(x, result.view);
    return;
  }
  const Owned here(layerhub::Device::cpu(), x.rows(), x.width());
  copy_counted(result.view, here.view, s.copies);
  add(x, here.view);
}

}  // namespace

Sequence::Sequence(const Config& config, std::int64_t positions, Dtype cache_dtype, layerhub::Device device)
    : capacity(positions),
      dtype_(cache_dtype),
      kv_heads_(config.kv_heads),
      head_size_(config.head_size),
      memory_(device,
              static_cast<std::size_t>(2 * config.n_blocks * capacity * kv_heads_ * head_size_ * bytes_of(dtype_))) {}

Tensor Sequence::cache(std::int64_t index) {
  const std::int64_t bytes = capacity * kv_heads_ * head_size_ * bytes_of(dtype_);
  return {memory_.data(),
          dtype_,
          3,
          {capacity, kv_heads_, head_size_},
          {kv_heads_ * head_size_, head_size_, 1},
          memory_.dl_device(),
          static_cast<std::uint64_t>(index * bytes)};
}

Model::Model(const Gguf& file)
    : file_(file), config_(read_config(file)), blocks_(static_cast<std::size_t>(config_.n_blocks)) {
  place({});
}

void Model::place(const Placement& placement) {
  const Gguf& file = file_;
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

  placed_weights_.clear();
  weight_copies_ = {};
  placement_ = placement;
  for (const Part part : {Part::attention, Part::mlp, Part::head}) {
    visit_part(part, [&](const auto& layer) {
      if constexpr (requires { layer.weight; }) {
        if (placement.of(part) != layerhub::Device::cpu()) {
          placed_weights_.push_back(placed(layer.weight, placement.of(part), weight_copies_));
          const_cast<Tensor&>(layer.weight) = placed_weights_.back().view;  // visitors see layers as a host calls them
        }
      }
    });
  }
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

void Model::run_attention(std::int64_t index, AttentionMemory& m, Tensor& x, const Tensor& cos, const Tensor& sin,
                          Sequence& s) const {
  const Block& b = blocks_[static_cast<std::size_t>(index)];
  const Config& c = config_;
  const Tensor& input = brought(x, m.input, s);
  timed(s, b.attention_norm, input, m.normed.view);
  timed(s, b.q, m.normed.view, m.q.view);
  timed(s, b.k, m.normed.view, m.k.view);
  timed(s, b.v, m.normed.view, m.v.view);
  Tensor q = m.q_turned.view.heads(c.heads), k = m.k_turned.view.heads(c.kv_heads);
  timed(s, b.rotary, m.q.view.heads(c.heads), m.k.view.heads(c.kv_heads), cos, sin, q, k);
  Tensor k_cache = s.k_cache(index), v_cache = s.v_cache(index), output = m.attended.view.heads(c.heads);
  timed(s, b.attention, q, k, m.v.view.heads(c.kv_heads), k_cache, v_cache, s.length,
        1 / std::sqrt(static_cast<float>(c.head_size)), output);
  timed(s, b.o, m.attended.view, m.result.view);
  add_back(x, m.result, s);
}

void Model::run_mlp(std::int64_t index, MlpMemory& m, Tensor& x, Sequence& s) const {
  const Block& b = blocks_[static_cast<std::size_t>(index)];
  const std::int64_t width = config_.mlp_width;
  const Tensor& input = brought(x, m.input, s);
  timed(s, b.mlp_norm, input, m.normed.view);
  Tensor gate = m.gate_and_up.view.columns(0, width), up = m.gate_and_up.view.columns(width, width);
  timed(s, b.gate, m.normed.view, gate);
  timed(s, b.up, m.normed.view, up);
  timed(s, b.silu_and_mul, m.gate_and_up.view, m.activated.view);
  timed(s, b.down, m.activated.view, m.result.view);
  add_back(x, m.result, s);
}

void Model::forward(std::span<const TokenId> tokens, Sequence& s, bool every_token, std::vector<float>& logits) const {
  const auto count = static_cast<std::int64_t>(tokens.size());
  if (count > s.capacity - s.length) {
    throw std::length_error("the sequence has no room for " + std::to_string(count) + " more tokens");
  }
  const layerhub::Device cpu = layerhub::Device::cpu();
  Owned x(cpu, count, config_.width), cos(cpu, count, config_.head_size / 2), sin(cpu, count, config_.head_size / 2);
  AttentionMemory attention(config_, count, placement_.of(Part::attention));
  MlpMemory mlp(config_, count, placement_.of(Part::mlp));
  embed(tokens, x.view);
  angles(s.length, cos.view, sin.view);
  const Tensor cosines = brought(cos.view, attention.cos, s), sines = brought(sin.view, attention.sin, s);
  for (std::int64_t i = 0; i < config_.n_blocks; ++i) {
    run_attention(i, attention, x.view, cosines, sines, s);
    run_mlp(i, mlp, x.view, s);
  }
  s.length += count;

  const layerhub::Device head = placement_.of(Part::head);
  const std::int64_t rows = every_token ? count : 1;
  const Owned input(head, rows, config_.width);
  Owned normed(head, rows, config_.width), out;
  const Tensor last = brought(x.view.rows_from(count - rows, rows), input, s);
  logits.resize(static_cast<std::size_t>(rows * config_.vocabulary));
  Tensor host_out = matrix(logits.data(), rows, config_.vocabulary), device_out = host_out;
  if (head != cpu) {
    out = Owned(head, rows, config_.vocabulary);
    device_out = out.view;
  }
  timed(s, output_norm_, last, normed.view);
  timed(s, output_, normed.view, device_out);
  copy_counted(device_out, host_out, s.copies);
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
