// SPDX-License-Identifier: Apache-2.0
#include "sequence.hpp"

#include <algorithm>

namespace smollm2 {

PassMemory::PassMemory(const Config& c, const Placement& placement, std::int64_t rows) : rows_(rows) {
  const layerhub::Device cpu = layerhub::Device::cpu(), head = placement.of(Part::head), mlp = placement.of(Part::mlp);
  const layerhub::Device attention = placement.of(Part::attention);
  for (Owned* width_wide : {&attention_input, &q, &q_turned, &attended}) {
    *width_wide = Owned(attention, rows, c.width);
  }
  for (Owned* kv_wide : {&k, &v, &k_turned}) {
    *kv_wide = Owned(attention, rows, c.kv_width());
  }
  for (Owned* angles : {&cos, &sin}) {
    *angles = Owned(attention, rows, c.head_size / 2);
  }
  for (Owned* angles : {&host_cos, &host_sin}) {
    *angles = Owned(cpu, rows, c.head_size / 2);
  }
  mlp_input = Owned(mlp, rows, c.width);
  head_input = Owned(head, rows, c.width);
  for (const layerhub::Device device : {cpu, attention, mlp, head}) {
    if (std::none_of(streams_.begin(), streams_.end(), [&](const auto& s) { return s.device == device; })) {
      streams_.push_back({device, Owned(device, rows, c.width), Owned(device, rows, c.width)});
    }
  }
}

std::uint64_t PassMemory::bytes() const {
  std::uint64_t bytes = 0;
  for (const Owned* owned : {&attention_input, &q, &k, &v, &q_turned, &k_turned, &attended, &cos, &sin, &host_cos,
                             &host_sin, &mlp_input, &head_input}) {
    bytes += owned->memory.size();
  }
  for (const StreamMemory& stream : streams_) {
    bytes += stream.residual.memory.size() + stream.added.memory.size();
  }
  return bytes;
}

Stream PassMemory::stream_on(layerhub::Device device, std::int64_t rows) const {
  const auto stream =
      std::find_if(streams_.begin(), streams_.end(), [&](const StreamMemory& s) { return s.device == device; });
  return {stream->residual.view.rows_from(0, rows), stream->added.view.rows_from(0, rows)};
}

Sequence::Sequence(const Config& config, const Placement& placement, std::int64_t positions, Dtype cache_dtype)
    : capacity(positions),
      config_(config),
      placement_(placement),
      dtype_(cache_dtype),
      caches_(placement.of(Part::attention),
              static_cast<std::size_t>(2 * config.n_blocks * capacity * config.kv_width() * bytes_of(dtype_))) {}

Tensor Sequence::cache(std::int64_t index) const {
  const std::int64_t bytes = capacity * config_.kv_width() * bytes_of(dtype_);
  return {caches_.data(),
          dtype_,
          3,
          {capacity, config_.kv_heads, config_.head_size},
          {config_.kv_width(), config_.head_size, 1},
          caches_.dl_device(),
          static_cast<std::uint64_t>(index * bytes)};
}

const PassMemory& Sequence::memory_for(std::int64_t rows) {
  if (memory_ == nullptr || memory_->rows() < rows) {
    memory_.reset();  // before the larger one is made
    memory_ = std::make_unique<PassMemory>(config_, placement_, rows);
  }
  return *memory_;
}

}  // namespace smollm2
