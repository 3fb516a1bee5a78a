// SPDX-License-Identifier: Apache-2.0
#include "bench/support/host.hpp"

#include <layerhub/sdk/dtype.hpp>
#include <layerhub/sdk/formats.hpp>

#include <cstring>
#include <new>
#include <random>
#include <stdexcept>

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

namespace layerhub::bench {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

// Quantized blocks may hold any nibbles and bytes; their scales must be numbers. 0x2c is a half of about 0.06.
void fill_blocks(HostTensor& tensor, const sdk::BlockFormat& format) {
  auto* bytes = tensor.elements<std::uint8_t>();
  std::minstd_rand random(1);
  for (std::size_t i = 0; i < tensor.bytes; ++i) {
    bytes[i] = static_cast<std::uint8_t>(random() >> 8);
  }
  const bool has_minimum = format.name == "gguf.q4_1";
  for (std::size_t at = 0; at < tensor.bytes; at += static_cast<std::size_t>(format.bytes)) {
    bytes[at + 1] = 0x2c;
    if (has_minimum) {
      bytes[at + 3] = 0x2c;
    }
  }
}

void fill(HostTensor& tensor) {
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> values(-1, 1);
  const std::size_t count = tensor.bytes * 8 / tensor.view.dtype.bits;
  for (std::size_t i = 0; i < count; ++i) {
    const float value = values(random);
    if (tensor.view.dtype.bits == 32) {
      tensor.elements<float>()[i] = value;
    } else if (tensor.view.dtype.code == kDLBfloat) {
      tensor.elements<sdk::bfloat16>()[i] = sdk::from_float<sdk::bfloat16>(value);
    } else if (tensor.view.dtype.code == kDLFloat) {
      tensor.elements<sdk::float16>()[i] = sdk::from_float<sdk::float16>(value);
    }
  }
}

std::vector<std::int64_t> weight_shape(std::int64_t rows, std::int64_t columns, const std::string& format) {
  const sdk::BlockFormat* blocks = sdk::find_block_format(format);
  return {rows, blocks == nullptr ? columns : columns / blocks->elements * blocks->bytes};
}

void pin(unsigned index) {
  cpu_set_t allowed, one;
  CPU_ZERO(&one);
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed) && index-- == 0) {
      CPU_SET(cpu, &one);
      pthread_setaffinity_np(pthread_self(), sizeof one, &one);
      return;
    }
  }
}

}  // namespace

HostTensor::HostTensor(DLDataType dtype, std::vector<std::int64_t> shape) {
  std::int64_t count = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    shape_[d] = shape[d];
    strides_[d] = count;
    count *= shape[d];
  }
  bytes = static_cast<std::size_t>(count) * dtype.bits / 8;
  const std::size_t page = bytes < huge_page ? 4096 : huge_page, mapped = (bytes + page - 1) / page * page;
  void* memory = std::aligned_alloc(page, mapped);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  if (page == huge_page) {
    madvise(memory, mapped, MADV_HUGEPAGE);
  }
  view = {memory, {kDLCPU, 0}, static_cast<std::int32_t>(shape.size()), dtype, shape_.data(), strides_.data(), 0};
  std::memset(memory, 0, bytes);
  if (dtype.code != kDLUInt) {
    fill(*this);
  }
}

HostTensor::~HostTensor() { std::free(view.data); }

Linear::Linear(std::int64_t rows, std::int64_t columns, const std::string& block_format, DLDataType dtype)
    : weight(block_format.empty() ? dtype : u8, weight_shape(rows, columns, block_format)), format(block_format) {
  if (const sdk::BlockFormat* blocks = sdk::find_block_format(format)) {
    fill_blocks(weight, *blocks);
  }
}

Mapping built_plugins() {
  set_plugin_roots({LAYERHUB_PLUGIN_ROOT});
  std::vector<Mapping::LayerEntry> entries;
  for (const auto& [layer, repo] :
       {std::pair{"SiluAndMul", "layerhub/activation"}, std::pair{"RMSNorm", "layerhub/norm"},
        std::pair{"Linear", "layerhub/linear"}, std::pair{"CausalAttention", "layerhub/attention"}}) {
    entries.push_back({layer, {{"cpu", LayerRepository{.repo_id = repo, .layer_name = layer, .revision = "v1"}}}});
  }
  return Mapping(entries);
}

unsigned processors() {
  cpu_set_t allowed;
  return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? static_cast<unsigned>(CPU_COUNT(&allowed)) : 1;
}

Team::Team(unsigned width) : width_(width) {
  runner_ = {this, [](void* team) -> std::uint32_t { return static_cast<Team*>(team)->width_; },
             [](void* team, std::uint32_t n_tasks, Task task, void* user) {
               static_cast<Team*>(team)->run_raw(n_tasks, task, user);
             }};
  set_parallel(&runner_);
  for (std::uint32_t worker = 1; worker < width; ++worker) {
    workers_.emplace_back([this, worker] {
      pin(worker);
      work(worker);
    });
  }
}

Team::~Team() {
  set_parallel(nullptr);
  stopping_ = true;
  generation_.fetch_add(1, std::memory_order_release);
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

void Team::run(std::uint32_t n_tasks, const std::function<void(std::uint32_t)>& task) {
  run_raw(
      n_tasks,
      [](void* user, std::uint32_t index, std::uint32_t) {
        (*static_cast<const std::function<void(std::uint32_t)>*>(user))(index);
      },
      const_cast<std::function<void(std::uint32_t)>*>(&task));
}

void Team::run_raw(std::uint32_t n_tasks, Task task, void* user) {
  task_ = task;
  user_ = user;
  n_tasks_ = n_tasks;
  next_.store(0, std::memory_order_relaxed);
  finished_.store(0, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  take(0);
  while (finished_.load(std::memory_order_acquire) != width_ - 1) {
    __builtin_ia32_pause();
  }
}

void Team::take(std::uint32_t worker) {
  for (std::uint32_t index; (index = next_.fetch_add(1, std::memory_order_relaxed)) < n_tasks_;) {
    task_(user_, index, worker);
  }
}

void Team::work(std::uint32_t worker) {
  for (std::uint32_t seen = 0;;) {
    std::uint32_t now;
    while ((now = generation_.load(std::memory_order_acquire)) == seen) {
      __builtin_ia32_pause();
    }
    seen = now;
    if (stopping_) {
      return;
    }
    take(worker);
    finished_.fetch_add(1, std::memory_order_release);
  }
}

}  // namespace layerhub::bench
