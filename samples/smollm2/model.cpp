// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <layerhub/sdk/formats.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace smollm2 {
namespace {

// The stream where the part can read it.
void bring(Stream& stream, layerhub::Device device, const PassMemory& memory, Sequence& s) {
  if (layerhub::Device::of(stream.residual.device) == device) {
    return;
  }
  const Stream there = memory.stream_on(device, stream.residual.rows());
  copy_counted(stream.residual, there.residual, s.copies);
  copy_counted(stream.added, there.added, s.copies);
  stream = there;
}

Tensor first_rows(const Owned& owned, std::int64_t rows) { return owned.view.rows_from(0, rows); }

}  // namespace

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
      const double angle = static_cast<double>(first + t) * frequencies_[static_cast<std::size_t>(i)];
      cos.row(t)[i] = static_cast<float>(std::cos(angle));
      sin.row(t)[i] = static_cast<float>(std::sin(angle));
    }
  }
}

// From here on the stream has only its last `wanted` tokens: what they attend to is all that they need of the others.
void Model::run_attention(std::int64_t block, const PassMemory& m, std::int64_t wanted, const Tensor& cos,
                          const Tensor& sin, Stream& stream, Sequence& s) const {
  const Block& b = blocks_[static_cast<std::size_t>(block)];
  const Config& c = config_;
  const std::int64_t tokens = stream.residual.rows();
  bring(stream, placement_.of(Part::attention), m, s);
  Tensor normed = first_rows(m.attention_input, tokens);
  timed(b.attention_norm, stream.added, stream.residual, normed, stream.residual);
  Tensor q = first_rows(m.q, tokens), k = first_rows(m.k, tokens), v = first_rows(m.v, tokens);
  timed(b.qkv, normed, q, k, v);
  Tensor q_turned = first_rows(m.q_turned, tokens).heads(c.heads);
  Tensor k_turned = first_rows(m.k_turned, tokens).heads(c.kv_heads);
  timed(b.rotary, q.heads(c.heads), k.heads(c.kv_heads), cos, sin, q_turned, k_turned);
  Tensor k_cache = s.k_cache(block), v_cache = s.v_cache(block);
  Tensor attended = first_rows(m.attended, tokens), attended_heads = attended.heads(c.heads);
  timed(b.attention, q_turned, k_turned, v.heads(c.kv_heads), k_cache, v_cache, s.length,
        1 / std::sqrt(static_cast<float>(c.head_size)), attended_heads);
  const std::int64_t first = tokens - wanted;
  stream = {stream.residual.rows_from(first, wanted), stream.added.rows_from(first, wanted)};
  timed(b.o, attended.rows_from(first, wanted), stream.added);
}

void Model::run_mlp(std::int64_t block, const PassMemory& m, Stream& stream, Sequence& s) const {
  const Block& b = blocks_[static_cast<std::size_t>(block)];
  bring(stream, placement_.of(Part::mlp), m, s);
  Tensor normed = first_rows(m.mlp_input, stream.residual.rows());
  timed(b.mlp_norm, stream.added, stream.residual, normed, stream.residual);
  timed(b.mlp, normed, stream.added);
}

void Model::run_head(const PassMemory& m, Stream& stream, Sequence& s, Tensor& logits) const {
  const layerhub::Device head = placement_.of(Part::head);
  const std::int64_t rows = stream.residual.rows();
  bring(stream, head, m, s);
  Tensor normed = first_rows(m.head_input, rows);
  timed(output_norm_, stream.added, stream.residual, normed, stream.residual);
  if (head == layerhub::Device::cpu()) {
    timed(output_, normed, logits);
  } else {
    Owned there(head, rows, config_.vocabulary);
    timed(output_, normed, there.view);
    copy_counted(there.view, logits, s.copies);
  }
}

void Model::forward(std::span<const TokenId> tokens, Sequence& s, bool every_token, std::vector<float>& logits) const {
  const auto count = static_cast<std::int64_t>(tokens.size());
  if (count > s.capacity - s.length) {
    throw std::length_error("the sequence has no room for " + std::to_string(count) + " more tokens");
  }
  const CountedIn counted(s.times);
  const PassMemory& memory = s.memory_for(count);
  Stream stream = memory.stream_on(layerhub::Device::cpu(), count);
  std::fill_n(stream.residual.row(0), count * config_.width, 0.f);
  embed(tokens, stream.added);
  // A row of a mapped file brings some 64 KiB around it into this process' memory: given back before it is a megabyte.
  constexpr std::int64_t rows_kept = 16;
  if (s.length / rows_kept != (s.length + count) / rows_kept) {
    file_.give_back(embedding_.bytes.data());
  }

  Tensor cos = first_rows(memory.host_cos, count), sin = first_rows(memory.host_sin, count);
  angles(s.length, cos, sin);
  if (placement_.of(Part::attention) != layerhub::Device::cpu()) {
    const Tensor cos_there = first_rows(memory.cos, count), sin_there = first_rows(memory.sin, count);
    copy_counted(cos, cos_there, s.copies);
    copy_counted(sin, sin_there, s.copies);
    cos = cos_there;
    sin = sin_there;
  }
  const std::int64_t rows = every_token ? count : 1;
  for (std::int64_t block = 0; block < config_.n_blocks; ++block) {
    run_attention(block, memory, block + 1 == config_.n_blocks ? rows : count, cos, sin, stream, s);
    run_mlp(block, memory, stream, s);
  }
  s.length += count;

  logits.resize(static_cast<std::size_t>(rows * config_.vocabulary));
  Tensor out = matrix(logits.data(), rows, config_.vocabulary);
  run_head(memory, stream, s, out);
}

}  // namespace smollm2
