// SPDX-License-Identifier: Apache-2.0
#include "support/guarded_tensor.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace layerhub::testing {
namespace {

constexpr std::byte pattern_of_read{0xff};
constexpr std::byte pattern_of_written{0xa5};

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

double decode(DLDataType dtype, const std::byte* at) {
  double value = 0;
  if (sdk::visit_float(dtype, [&]<class T>() { value = static_cast<double>(sdk::to_float(load<T>(at))); })) {
    return value;
  }
  if (sdk::same(dtype, sdk::f64)) {
    return load<double>(at);
  }
  if (sdk::same(dtype, sdk::i32)) {
    return load<std::int32_t>(at);
  }
  if (sdk::same(dtype, sdk::i64)) {
    return static_cast<double>(load<std::int64_t>(at));
  }
  if (sdk::same(dtype, sdk::u8)) {
    return load<std::uint8_t>(at);
  }
  throw std::logic_error("no test values for dtype " + text_of(dtype));
}

template <class T>
void store(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

void encode(DLDataType dtype, double value, std::byte* at) {
  if (sdk::visit_float(dtype, [&]<class T>() { store(at, sdk::from_float<T>(static_cast<float>(value))); })) {
    return;
  }
  if (sdk::same(dtype, sdk::f64)) {
    store(at, value);
  } else if (sdk::same(dtype, sdk::i32)) {
    store(at, static_cast<std::int32_t>(value));
  } else if (sdk::same(dtype, sdk::i64)) {
    store(at, static_cast<std::int64_t>(value));
  } else if (sdk::same(dtype, sdk::u8)) {
    store(at, static_cast<std::uint8_t>(std::abs(value)));
  } else {
    throw std::logic_error("no test values for dtype " + text_of(dtype));
  }
}

// Random codes are every code; the leading binary16 numbers (scale, and offset where there is one) get sane values.
void fill_block(const sdk::BlockFormat& format, std::mt19937_64& random, double deviation, std::byte* block) {
  for (std::int64_t i = 0; i < format.bytes; ++i) {
    block[i] = static_cast<std::byte>(random());
  }
  std::normal_distribution<double> normal(0, deviation / 16);
  const auto numbers = format.bytes % 4 == 0 ? 2 : 1;  // a scale alone leaves 2 odd bytes before the codes
  for (int n = 0; n < numbers; ++n) {
    encode(sdk::f16, normal(random), block + 2 * n);
  }
}

}  // namespace

GuardedTensor::GuardedTensor(const TensorPlan& plan, bool is_written) : plan_(plan), is_written_(is_written) {
  const auto data = static_cast<std::size_t>(extent()) + plan.byte_offset;
  memory_ = std::make_shared<std::vector<std::byte>>(guard * 2 + 64 + data,
                                                     is_written ? pattern_of_written : pattern_of_read);
  bind(plan);
}

GuardedTensor::GuardedTensor(const TensorPlan& plan, GuardedTensor& other) : plan_(plan), is_written_(true) {
  other.is_written_ = true;
  memory_ = other.memory_;
  shares_with_ = &other;
  bind(plan);
}

void GuardedTensor::bind(const TensorPlan& plan) {
  const auto address = reinterpret_cast<std::uintptr_t>(memory_->data()) + guard;
  const std::size_t base = guard + (64 - address % 64) % 64;
  begin_ = base + plan.byte_offset;
  tensor_.data = memory_->data() + base;
  tensor_.byte_offset = plan.byte_offset;
  tensor_.device = {kDLCPU, 0};
  tensor_.dtype = plan.dtype;
  tensor_.ndim = static_cast<std::int32_t>(plan.stored_shape.size());
  tensor_.shape = plan_.stored_shape.data();
  tensor_.strides = plan_.strides.data();
}

void GuardedTensor::place_on(const TestDevice& device) {
  // A whole number of the widest alignment lies before the first element, as it does on the host.
  placed_from_ = begin_ - plan_.byte_offset - guard;
  device_ = &device;
  if (shares_with_ != nullptr) {
    on_device_ = shares_with_->on_device_;
  } else {
    on_device_ = std::shared_ptr<void>(device.allocate(memory_->size() - placed_from_),
                                       [&device](void* memory) { device.release(memory); });
  }
  tensor_.device = device.device();
  tensor_.data = on_device_.get();
  tensor_.byte_offset = guard + plan_.byte_offset;
}

void GuardedTensor::upload() const {
  if (device_ != nullptr) {
    device_->upload(on_device_.get(), memory_->data() + placed_from_, memory_->size() - placed_from_);
  }
}

void GuardedTensor::download() {
  if (device_ != nullptr) {
    device_->download(memory_->data() + placed_from_, on_device_.get(), memory_->size() - placed_from_);
  }
}

std::int64_t GuardedTensor::extent() const {
  std::int64_t last = 0;
  for (std::size_t d = 0; d < plan_.stored_shape.size(); ++d) {
    if (plan_.stored_shape[d] == 0) {
      return 0;
    }
    last += (plan_.stored_shape[d] - 1) * plan_.strides[d];
  }
  return (last + 1) * (plan_.dtype.bits / 8);
}

template <class Visit>
void GuardedTensor::for_each_element(Visit&& visit) const {
  std::vector<std::int64_t> index(plan_.stored_shape.size(), 0);
  if (extent() == 0) {
    return;
  }
  for (;;) {
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < index.size(); ++d) {
      offset += index[d] * plan_.strides[d];
    }
    visit(begin_ + static_cast<std::size_t>(offset * (plan_.dtype.bits / 8)));
    std::size_t d = index.size();
    while (d > 0 && ++index[d - 1] == plan_.stored_shape[d - 1]) {
      index[--d] = 0;
    }
    if (d == 0) {
      return;
    }
  }
}

void GuardedTensor::fill(std::mt19937_64& random, double deviation, double outliers) {
  std::normal_distribution<double> normal(0, deviation);
  std::bernoulli_distribution is_outlier(outliers);
  std::int64_t in_block = 0;
  for_each_element([&](std::size_t at) {
    if (plan_.format == nullptr) {
      encode(plan_.dtype, normal(random) * (outliers > 0 && is_outlier(random) ? 16 : 1), memory_->data() + at);
    } else if (in_block++ % plan_.format->bytes == 0) {
      fill_block(*plan_.format, random, deviation, memory_->data() + at);
    }
  });
}

void GuardedTensor::put_nan(std::mt19937_64& random, bool in_first_row) {
  const int mantissa_bits = sdk::same(plan_.dtype, sdk::f32)    ? 23
                            : sdk::same(plan_.dtype, sdk::bf16) ? 7
                            : sdk::same(plan_.dtype, sdk::f16)  ? 10
                                                                : 0;
  std::size_t count = 0;
  for_each_element([&](std::size_t) { ++count; });
  if (mantissa_bits == 0 || count == 0) {
    return;
  }
  const std::size_t place =
      random() % (in_first_row && !plan_.shape.empty() ? static_cast<std::size_t>(plan_.shape.back()) : count);
  const std::uint64_t one = 1, mantissa = 1 + random() % ((one << mantissa_bits) - 1);
  const std::uint64_t exponent = (one << (plan_.dtype.bits - 1)) - (one << mantissa_bits);  // all ones
  const std::uint64_t bits = exponent | mantissa | (random() % 2) << (plan_.dtype.bits - 1);
  for_each_element([&, i = std::size_t{0}](std::size_t at) mutable {
    if (i++ == place) {
      std::memcpy(memory_->data() + at, &bits, plan_.dtype.bits / 8);
    }
  });
}

void GuardedTensor::spoil() {
  const auto size = static_cast<std::size_t>(plan_.dtype.bits / 8);
  for_each_element([&](std::size_t at) { std::fill_n(memory_->data() + at, size, pattern_of_read); });
}

std::vector<double> GuardedTensor::values() const {
  std::vector<double> values;
  std::int64_t in_block = 0;
  for_each_element([&](std::size_t at) {
    if (plan_.format == nullptr) {
      values.push_back(decode(plan_.dtype, memory_->data() + at));
    } else if (in_block++ % plan_.format->bytes == 0) {
      std::vector<float> block(static_cast<std::size_t>(plan_.format->elements));
      plan_.format->dequantize(reinterpret_cast<const std::uint8_t*>(memory_->data() + at), block.data());
      values.insert(values.end(), block.begin(), block.end());
    }
  });
  return values;
}

std::string GuardedTensor::complaint() const {
  const std::vector<std::byte>& now = *memory_;
  std::vector<std::byte> allowed = remembered_;
  if (is_written_) {
    const auto size = static_cast<std::size_t>(plan_.dtype.bits / 8);
    for_each_element([&](std::size_t at) { std::copy_n(now.data() + at, size, allowed.data() + at); });
  }
  const auto [wrong, right] = std::mismatch(now.begin(), now.end(), allowed.begin());
  if (wrong == now.end()) {
    return {};
  }
  const auto position = (wrong - now.begin()) - static_cast<std::ptrdiff_t>(begin_);
  return "byte " + std::to_string(position) + " was written, which is no element of " +
         (is_written_ ? std::string("it") : std::string("anything that is written"));
}

std::vector<std::byte> GuardedTensor::element_bytes() const {
  std::vector<std::byte> bytes;
  const auto size = static_cast<std::size_t>(plan_.dtype.bits / 8);
  for_each_element([&](std::size_t at) {
    bytes.insert(bytes.end(), memory_->begin() + static_cast<std::ptrdiff_t>(at),
                 memory_->begin() + static_cast<std::ptrdiff_t>(at + size));
  });
  return bytes;
}

}  // namespace layerhub::testing
