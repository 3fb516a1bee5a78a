// SPDX-License-Identifier: Apache-2.0
// The first NVIDIA card: a stream on which things are timed by its own clock, and tensors in its memory.
#pragma once

#include "bench/support/host.hpp"

#include <cuda_runtime_api.h>

#include <functional>

namespace layerhub::bench {

// Throws std::runtime_error that names the call and CUDA's error.
void check(cudaError_t code, const char* call);

class Card {
 public:
  Card();
  ~Card();
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;

  cudaStream_t stream() const { return stream_; }

  // Nanoseconds between two events around what `enqueue` gives the stream. Nothing of its tensors is in the L2 before.
  double nanoseconds_on_card(const std::function<void()>& enqueue) const;
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t before_ = nullptr, after_ = nullptr;
  void* flushed_ = nullptr;
  std::size_t flushed_bytes_ = 0;
};

// A HostTensor's values in the card's memory. Rank 1 to 3.
class CardTensor {
 public:
  CardTensor(DLDataType dtype, std::vector<std::int64_t> shape);
  ~CardTensor();
  CardTensor(const CardTensor&) = delete;
  CardTensor& operator=(const CardTensor&) = delete;

  DLTensor view;
  std::size_t bytes;

 private:
  std::vector<std::int64_t> shape_, strides_;
};

}  // namespace layerhub::bench
