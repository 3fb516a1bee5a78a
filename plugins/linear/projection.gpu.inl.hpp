// SPDX-License-Identifier: Apache-2.0
// A weight of a layer with its bias, as an instance keeps it between calls: nothing of plain floats, which are read
// where the host has them, and the packed weight and a copy of the bias where it has a block format.
//
// A block of the file is 18, 20 or 34 bytes: no two of them begin at the same alignment, and a thread that takes a
// block would read it in 2- or 4-byte pieces that lie 20 bytes from its neighbour's. Packed, the numbers of all blocks
// come first and their scales behind them: the same bytes, but the numbers, 9 of 10 bytes, are read by 16-byte loads
// that touch each line of memory once.
#pragma once

#include "multiply.gpu.inl.hpp"

#include <layerhub/sdk/formats.hpp>

#include <string_view>

namespace layerhub::linear {

// Params of a layer by name for create(), and where they stand in a call.
struct ProjectionParams {
  std::string_view weight;
  int weight_index;
  std::string_view bias = {};  // empty: the layer has none
  int bias_index = 0;
};

class FloatProjection {
 public:
  using Batches = linear::Batches<FloatWeight<float>, FloatWeight<float16>, FloatWeight<bfloat16>>;
  static constexpr std::uint32_t traits = 0;
  static constexpr bool is_packed = false;

  FloatProjection(const CreateArgs& args, const ProjectionParams& params) : params_(params) {
    if (!args.param_format(params.weight).empty()) {
      throw Failure(LH_DECLINED, "`" + std::string(params.weight) + "` is no plain float matrix");
    }
  }
  static void update(const CreateArgs&) {}

  // Runs use(product) with the weight in the type that it has.
  template <class Use>
  void visit(const lh_call& call, const gpu::FloatRows& y, const Use& use) const {
    const DLTensor& weight = *call.in[params_.weight_index];
    const DLTensor* bias = params_.bias.empty() ? nullptr : call.in[params_.bias_index];
    visit_float(weight.dtype, [&]<class T>() {
      use(Product<FloatWeight<T>>{FloatWeight<T>(weight), static_cast<int>(weight.shape[0]),
                                  bias == nullptr ? nullptr : data<const float>(*bias), y});
    });
  }

 private:
  ProjectionParams params_;
};

constexpr int packing_threads = 128;

// A thread for each block. from: rows of `blocks` blocks of `bytes` bytes.
template <class Weight>
__global__ void pack_blocks(gpu::Rows<const std::uint8_t> from, std::int64_t rows, int blocks, int bytes, Weight to) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index < rows * blocks) {
    to.pack(index, from.at(index / blocks) + index % blocks * bytes);
  }
}

class BlockProjection {
 public:
  using Batches = linear::Batches<BlockWeight<4>, BlockWeight<8>>;
  static constexpr std::uint32_t traits = LH_TRAIT_OWNS_PARAMS;
  static constexpr bool is_packed = true;

  BlockProjection(const CreateArgs& args, const ProjectionParams& params)
      : params_(params), format_(find_block_format(args.param_format(params.weight))) {
    if (format_ == nullptr) {
      throw Failure(LH_DECLINED, "`" + std::string(params.weight) + "` has no block format");
    }
    const DLTensor& weight = *args.param(params.weight);
    const int ordinal = args.device()->device.device_id;
    rows_ = weight.shape[0];
    blocks_ = static_cast<int>(weight.shape[1] / format_->bytes);
    weight_ =
        gpu::Memory(ordinal, static_cast<std::size_t>(rows_) * static_cast<std::size_t>(blocks_ * format_->bytes));
    if (!params.bias.empty() && args.param(params.bias) != nullptr) {
      bias_ = gpu::Memory(ordinal, static_cast<std::size_t>(rows_) * sizeof(float));
    }
    update(args);
  }

  // In the stream's order, behind what it has been given before.
  void update(const CreateArgs& args) {
    const auto rows = gpu::rows_of<const std::uint8_t>(*args.param(params_.weight));
    visit_weight([&](const auto& weight) {
      gpu::launch(args, pack_blocks<std::decay_t<decltype(weight)>>, gpu::blocks_for(rows_ * blocks_, packing_threads),
                  packing_threads, 0, rows, rows_, blocks_, static_cast<int>(format_->bytes), weight);
    });
    if (bias_.bytes() != 0) {
      bias_.fill_from(args, data<const float>(*args.param(params_.bias)), bias_.bytes());
    }
  }

  // Runs use(product) with the packed weight as its format has it.
  template <class Use>
  void visit(const lh_call&, const gpu::FloatRows& y, const Use& use) const {
    visit_weight([&](const auto& weight) {
      use(Product<std::decay_t<decltype(weight)>>{weight, static_cast<int>(rows_), bias_.as<const float>(), y});
    });
  }

 private:
  template <class Use>
  void visit_weight(const Use& use) const {
    if (format_->name == "gguf.q8_0") {
      use(BlockWeight<8>(weight_.as<std::byte>(), rows_, blocks_, false));
    } else {
      use(BlockWeight<4>(weight_.as<std::byte>(), rows_, blocks_, format_->name == "gguf.q4_1"));
    }
  }

  ProjectionParams params_;
  const BlockFormat* format_;
  std::int64_t rows_ = 0;
  int blocks_ = 0;  // of a row
  gpu::Memory weight_, bias_;
};

}  // namespace layerhub::linear
