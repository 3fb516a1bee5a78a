// SPDX-License-Identifier: Apache-2.0
#include "card.hpp"

#include <stdexcept>

namespace layerhub::bench {

void check(cudaError_t code, const char* call) {
  if (code != cudaSuccess) {
    throw std::runtime_error(std::string(call) + ": " + cudaGetErrorName(code));
  }
}

Card::Card() {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  flushed_bytes_ = 2 * static_cast<std::size_t>(properties.l2CacheSize);
  check(cudaMalloc(&flushed_, flushed_bytes_), "cudaMalloc");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  check(cudaEventCreate(&before_), "cudaEventCreate");
  check(cudaEventCreate(&after_), "cudaEventCreate");
}

Card::~Card() {
  cudaEventDestroy(before_);
  cudaEventDestroy(after_);
  cudaStreamDestroy(stream_);
  cudaFree(flushed_);
}

double Card::nanoseconds_on_card(const std::function<void()>& enqueue) const {
  check(cudaMemsetAsync(flushed_, 1, flushed_bytes_, stream_), "cudaMemsetAsync");
  check(cudaEventRecord(before_, stream_), "cudaEventRecord");
  enqueue();
  check(cudaEventRecord(after_, stream_), "cudaEventRecord");
  check(cudaEventSynchronize(after_), "cudaEventSynchronize");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, before_, after_), "cudaEventElapsedTime");
  return 1e6 * static_cast<double>(milliseconds);
}

void Card::synchronize() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

CardTensor::CardTensor(DLDataType dtype, std::vector<std::int64_t> shape) {
  const HostTensor host(dtype, shape);
  bytes = host.bytes;
  shape_ = std::move(shape);
  strides_.assign(host.view.strides, host.view.strides + host.view.ndim);
  view = host.view;
  view.device = {kDLCUDA, 0};
  view.shape = shape_.data();
  view.strides = strides_.data();
  view.data = nullptr;
  check(cudaMalloc(&view.data, bytes), "cudaMalloc");
  check(cudaMemcpy(view.data, host.view.data, bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
}

CardTensor::~CardTensor() { cudaFree(view.data); }

}  // namespace layerhub::bench
