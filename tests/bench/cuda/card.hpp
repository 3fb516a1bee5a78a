// SPDX-License-Identifier: Apache-2.0
// The first NVIDIA card: a stream on which things are timed by its own clock, and tensors in its memory.
#pragma once

#include "bench/support/host.hpp"

#include <layerhub/sdk/formats.hpp>
#include <layerhub/sdk/gpu_api.hpp>
#include <layerhub/sdk/reference.hpp>

#include <functional>

namespace layerhub::bench {

using sdk::gpu::check;

class Card {
 public:
  Card();
  ~Card();
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;

  cudaStream_t stream() const { return stream_; }

  // Nanoseconds between two events around what `enqueue` gives the stream. Nothing of its tensors is in the L2 before,
  // and while that is emptied the host is done with `enqueue`: no launch is waited for.
  double nanoseconds_on_card(const std::function<void()>& enqueue) const;
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t before_ = nullptr, after_ = nullptr;
  void* flushed_ = nullptr;
  std::size_t flushed_bytes_ = 0;
};

// A dense tensor in the card's memory. Rank 1 to 3. What it does to its memory is done on the card's stream.
class CardTensor {
 public:
  explicit CardTensor(const Card& card, const HostTensor& values);
  CardTensor(const Card& card, DLDataType dtype, std::vector<std::int64_t> shape)
      : CardTensor(card, HostTensor(dtype, std::move(shape))) {}
  // For results: every element is NaN, so that one that a kernel forgets is seen.
  static CardTensor unwritten(const Card& card, DLDataType dtype, std::vector<std::int64_t> shape);
  ~CardTensor();
  CardTensor(const CardTensor&) = delete;
  CardTensor& operator=(const CardTensor&) = delete;

  // What it holds of these indices of each dimension, after all that the stream was given; of a dimension without any:
  // all of it. The rows of a block format are dequantized as a whole.
  using Picked = std::vector<std::vector<std::int64_t>>;
  sdk::RealTensor values(Picked picked = {}, const sdk::BlockFormat* format = nullptr) const;

  DLTensor view{};
  std::size_t bytes = 0;

 private:
  struct Unwritten {};
  CardTensor(const Card& card, DLDataType dtype, std::vector<std::int64_t> shape, Unwritten);
  void append_row(const std::byte* row, const std::vector<std::int64_t>& columns, const sdk::BlockFormat* format,
                  std::vector<double>& to) const;

  const Card& card_;
  std::vector<std::int64_t> shape_, strides_;
};

}  // namespace layerhub::bench
