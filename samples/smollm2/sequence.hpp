// SPDX-License-Identifier: Apache-2.0
// One sequence: its caches and how far they are filled, the memory that its passes compute in, and what was measured on
// the way. Nothing is allocated from token to token: a pass of no more tokens than one before it finds all it needs.
#pragma once

#include "layer_times.hpp"
#include "placement.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace smollm2 {

struct Config {
  std::int64_t width, heads, kv_heads, head_size, mlp_width, n_blocks, vocabulary, context;
  float epsilon, rope_base;

  std::int64_t kv_width() const { return kv_heads * head_size; }
};

// The residual stream, and what the last part of the model adds to it, on one device. Empty at first: the embedding is
// the first addition.
struct Stream {
  Tensor residual, added;
};

// For passes of up to `rows` tokens, on the devices of the parts.
class PassMemory {
 public:
  PassMemory(const Config& config, const Placement& placement, std::int64_t rows);

  std::int64_t rows() const { return rows_; }
  std::uint64_t bytes() const;
  Stream stream_on(layerhub::Device device, std::int64_t rows) const;

  // Attention's; cos and sin are also on the cpu, where they are computed.
  Owned attention_input, q, k, v, q_turned, k_turned, attended, cos, sin, host_cos, host_sin;
  Owned mlp_input, head_input;

 private:
  struct StreamMemory {
    layerhub::Device device;
    Owned residual, added;
  };
  std::int64_t rows_;
  std::vector<StreamMemory> streams_;  // one for each device
};

class Sequence {
 public:
  // The caches are on attention's device.
  Sequence(const Config& config, const Placement& placement, std::int64_t capacity, Dtype cache_dtype);

  Tensor k_cache(std::int64_t block) const { return cache(2 * block); }
  Tensor v_cache(std::int64_t block) const { return cache(2 * block + 1); }
  const PassMemory& memory_for(std::int64_t rows);

  std::uint64_t cache_bytes() const { return caches_.size(); }
  std::uint64_t pass_bytes() const { return memory_ == nullptr ? 0 : memory_->bytes(); }

  std::int64_t length = 0;
  const std::int64_t capacity;
  LayerTimes times{};
  Copies copies;

 private:
  Tensor cache(std::int64_t index) const;

  Config config_;
  Placement placement_;
  Dtype dtype_;
  layerhub::Buffer caches_;
  std::unique_ptr<PassMemory> memory_;
};

}  // namespace smollm2
