// SPDX-License-Identifier: Apache-2.0
#include "bench/support/host.hpp"

#include <layerhub/sdk/dtype.hpp>
#include <layerhub/sdk/formats.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <random>

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

namespace layerhub::bench {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

// Each tensor's values are its own, or a kernel that takes one for another would be right.
std::minstd_rand next_random() {
  static unsigned made = 0;
  std::minstd_rand random(++made * 7919);
  random.discard(4);
  return random;
}

// So many elements are random, and what follows are the same again: making gigabytes of random numbers would take
// longer than what is measured with them. A prime number, so that no two rows are equal.
constexpr std::size_t random_elements = 1'000'003;

void repeat(HostTensor& tensor, std::size_t filled_bytes) {
  auto* bytes = tensor.elements<std::uint8_t>();
  for (std::size_t at = filled_bytes; at < tensor.bytes; at += filled_bytes) {
    std::memcpy(bytes + at, bytes, std::min(filled_bytes, tensor.bytes - at));
  }
}

// Quantized blocks may hold any nibbles and bytes; their scales must be numbers. 0x2c is a half of about 0.06.
void fill_blocks(HostTensor& tensor, const sdk::BlockFormat& format) {
  auto* bytes = tensor.elements<std::uint8_t>();
  std::minstd_rand random = next_random();
  const std::size_t filled = std::min(tensor.bytes, random_elements);
  for (std::size_t i = 0; i < filled; ++i) {
    bytes[i] = static_cast<std::uint8_t>(random() >> 8);
  }
  repeat(tensor, filled);
  const bool has_minimum = format.name == "gguf.q4_1";
  for (std::size_t at = 0; at < tensor.bytes; at += static_cast<std::size_t>(format.bytes)) {
    bytes[at + 1] = 0x2c;
    if (has_minimum) {
      bytes[at + 3] = 0x2c;
    }
  }
}

void fill(HostTensor& tensor) {
  std::minstd_rand random = next_random();
  std::uniform_real_distribution<float> values(-1, 1);
  const std::size_t count = std::min(tensor.bytes * 8 / tensor.view.dtype.bits, random_elements);
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
  repeat(tensor, count * tensor.view.dtype.bits / 8);
}

std::vector<std::int64_t> weight_shape(std::int64_t rows, std::int64_t columns, const std::string& format) {
  const sdk::BlockFormat* blocks = sdk::find_block_format(format);
  return {rows, blocks == nullptr ? columns : columns / blocks->elements * blocks->bytes};
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
  set_plugin_roots({LAYERHUB_PLUGIN_ROOT, LAYERHUB_BENCH_PLUGIN_ROOT});
  std::vector<Mapping::LayerEntry> entries;
  constexpr std::pair<const char*, const char*> layers[] = {
      {"SiluAndMul", "layerhub/activation"},
      {"RMSNorm", "layerhub/norm"},
      {"ResidualRMSNorm", "layerhub/norm"},
      {"Linear", "layerhub/linear"},
      {"CausalAttention", "layerhub/attention"},
      {"ReadAll", "bench/limits"},
      {"ReadAhead", "bench/limits"},
      {"ReadRuns", "bench/limits"},
      {"CopyAll", "bench/limits"},
      {"ConvertAll", "bench/limits"},
      {"AddAll", "bench/limits"},
      {"MultiplyBytes", "bench/limits"},
      {"MultiplyMatrices", "bench/limits"},
      {"MultiplyFloats", "bench/limits"},
      {"Unchecked", "bench/nothing"},
      {"Checked", "bench/nothing"},
  };
  for (const auto& [layer, repo] : layers) {
    entries.push_back({layer, {{"cpu", LayerRepository{.repo_id = repo, .layer_name = layer, .revision = "v1"}}}});
  }
  return Mapping(entries);
}

unsigned processors() {
  cpu_set_t allowed;
  return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? static_cast<unsigned>(CPU_COUNT(&allowed)) : 1;
}

std::size_t out_of_cache() {
  const auto known = [](int what) { return static_cast<std::size_t>(std::max(0L, sysconf(what))); };
  const std::size_t largest = std::max(known(_SC_LEVEL3_CACHE_SIZE), known(_SC_LEVEL2_CACHE_SIZE));
  const std::size_t memory = known(_SC_PHYS_PAGES) * known(_SC_PAGESIZE);
  return std::max(std::size_t{128} << 20, std::min(4 * largest, memory / 8));
}

void ReadLimit::choose() {
  std::array<double, 3> least;
  for (fastest_ = 0; fastest_ < least.size(); ++fastest_) {
    least[fastest_] = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 5; ++i) {
      least[fastest_] = std::min(least[fastest_], nanoseconds_of([&] { (*this)(); }));
    }
  }
  fastest_ = static_cast<std::size_t>(std::min_element(least.begin(), least.end()) - least.begin());
}

void ReadLimit::operator()() {
  switch (fastest_) {
    case 0: return plain_(bytes_.view, kept_.view);
    case 1: return ahead_(bytes_.view, kept_.view);
    default: return runs_(bytes_.view, kept_.view);
  }
}

}  // namespace layerhub::bench
