// SPDX-License-Identifier: Apache-2.0
#include "card.hpp"

#include <layerhub/sdk/dtype.hpp>

#include <cstring>
#include <numeric>

namespace layerhub::bench {

Card::Card() {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "to ask for the card's properties");
  flushed_bytes_ = 2 * static_cast<std::size_t>(properties.l2CacheSize);
  check(cudaMalloc(&flushed_, flushed_bytes_), "to allocate what empties the L2");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "to make a stream");
  check(cudaEventCreate(&before_), "to make an event");
  check(cudaEventCreate(&after_), "to make an event");
}

Card::~Card() {
  cudaEventDestroy(before_);
  cudaEventDestroy(after_);
  cudaStreamDestroy(stream_);
  cudaFree(flushed_);
}

double Card::nanoseconds_on_card(const std::function<void()>& enqueue) const {
  check(cudaMemsetAsync(flushed_, 1, flushed_bytes_, stream_), "to empty the L2");
  check(cudaEventRecord(before_, stream_), "to record an event");
  enqueue();
  check(cudaEventRecord(after_, stream_), "to record an event");
  check(cudaEventSynchronize(after_), "to wait for what is timed");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, before_, after_), "to measure between events");
  return 1e6 * static_cast<double>(milliseconds);
}

void Card::synchronize() const { check(cudaStreamSynchronize(stream_), "to wait for the stream"); }

CardTensor::CardTensor(const Card& card, DLDataType dtype, std::vector<std::int64_t> shape, Unwritten)
    : card_(card), shape_(std::move(shape)), strides_(shape_.size(), 1) {
  for (std::size_t d = shape_.size() - 1; d-- > 0;) {
    strides_[d] = strides_[d + 1] * shape_[d + 1];
  }
  bytes = static_cast<std::size_t>(strides_[0] * shape_[0]) * dtype.bits / 8;
  view = {nullptr, {kDLCUDA, 0}, static_cast<std::int32_t>(shape_.size()), dtype, shape_.data(), strides_.data(), 0};
  check(cudaMalloc(&view.data, bytes), "to allocate a tensor");
  check(cudaMemsetAsync(view.data, 0xff, bytes, card_.stream()), "to fill a tensor");
}

CardTensor CardTensor::unwritten(const Card& card, DLDataType dtype, std::vector<std::int64_t> shape) {
  return {card, dtype, std::move(shape), Unwritten{}};
}

CardTensor::CardTensor(const Card& card, const HostTensor& values)
    : CardTensor(card, values.view.dtype, {values.view.shape, values.view.shape + values.view.ndim}, Unwritten{}) {
  check(cudaMemcpyAsync(view.data, values.view.data, bytes, cudaMemcpyHostToDevice, card_.stream()), "to upload");
  card_.synchronize();
}

CardTensor::~CardTensor() { cudaFree(view.data); }

sdk::RealTensor CardTensor::values(Picked picked, const sdk::BlockFormat* format) const {
  std::vector<std::byte> all(bytes);
  check(cudaMemcpyAsync(all.data(), view.data, bytes, cudaMemcpyDeviceToHost, card_.stream()), "to download");
  card_.synchronize();
  picked.resize(shape_.size());
  std::vector<std::size_t> rows{0};  // where they begin, in bytes
  sdk::RealTensor found;
  for (std::size_t d = 0; d < shape_.size(); ++d) {
    if (picked[d].empty()) {
      picked[d].resize(static_cast<std::size_t>(shape_[d]));
      std::iota(picked[d].begin(), picked[d].end(), 0);
    }
    found.shape.push_back(static_cast<std::int64_t>(picked[d].size()));
    if (d + 1 == shape_.size()) {
      break;
    }
    std::vector<std::size_t> inner;
    for (const std::size_t begin : rows) {
      for (const std::int64_t index : picked[d]) {
        inner.push_back(begin + static_cast<std::size_t>(index * strides_[d]) * view.dtype.bits / 8);
      }
    }
    rows = std::move(inner);
  }
  for (const std::size_t begin : rows) {
    append_row(all.data() + begin, picked.back(), format, found.values);
  }
  if (format != nullptr) {
    found.shape.back() = found.shape.back() / format->bytes * format->elements;
  }
  return found;
}

void CardTensor::append_row(const std::byte* row, const std::vector<std::int64_t>& columns,
                            const sdk::BlockFormat* format, std::vector<double>& to) const {
  if (format != nullptr) {
    std::vector<float> block(static_cast<std::size_t>(format->elements));
    for (std::int64_t at = 0; at < shape_.back(); at += format->bytes) {
      format->dequantize(reinterpret_cast<const std::uint8_t*>(row) + at, block.data());
      to.insert(to.end(), block.begin(), block.end());
    }
    return;
  }
  sdk::visit_float(view.dtype, [&]<class T>() {
    for (const std::int64_t column : columns) {
      T value;
      std::memcpy(&value, row + static_cast<std::size_t>(column) * sizeof value, sizeof value);
      to.push_back(static_cast<double>(sdk::to_float(value)));
    }
  });
}

}  // namespace layerhub::bench
