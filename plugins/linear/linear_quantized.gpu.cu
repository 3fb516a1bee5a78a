// SPDX-License-Identifier: Apache-2.0
// Linear with block-quantized weights on CUDA and HIP. Elements are dequantized where they are multiplied, so that the
// activations stay as they are and the sums are those of the reference.
//
// create() repacks the weight. A block of the file is 18, 20 or 34 bytes: no two of them begin at the same alignment,
// and a thread that takes a block would read it in 2- or 4-byte pieces that lie 20 bytes from its neighbour's. Packed,
// the numbers of all blocks come first and their scales behind them: the same bytes, but the numbers, 9 of 10 bytes,
// are read by 16-byte loads that touch each line of memory once.
#include "product.gpu.inl.hpp"

#include <layerhub/layers/linear.hpp>
#include <layerhub/sdk/formats.hpp>
#include <layerhub/sdk/gpu.hpp>

namespace {

using namespace layerhub::sdk;
using layerhub::linear::BlockWeight;

constexpr int packing_threads = 128;

// A thread for each block. from: rows of `blocks` blocks of `bytes` bytes.
template <class Weight>
__global__ void pack_blocks(gpu::Rows<const std::uint8_t> from, std::int64_t rows, int blocks, int bytes, Weight to) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index < rows * blocks) {
    to.pack(index, from.at(index / blocks) + index % blocks * bytes);
  }
}

class LinearQuantized {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_CAPTURE_SAFE | LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC |
                                          LH_TRAIT_NO_WORKSPACE | LH_TRAIT_OWNS_PARAMS;
  static constexpr std::array constraints{
      dtype_in("input", f32, bf16, f16), dtype_in("weight", u8),   dtype_in("bias", f32),
      last_dim_dense("input"),           last_dim_dense("output"), last_dim_dense("weight")};
  static constexpr std::array tolerances = layerhub::linear::product_tolerances;

  explicit LinearQuantized(const CreateArgs& args) : format_(find_block_format(args.param_format("weight"))) {
    if (format_ == nullptr) {
      throw Failure(LH_DECLINED, "the weight has no block format");
    }
    const DLTensor& weight = *args.param("weight");
    rows_ = weight.shape[0];
    blocks_ = static_cast<int>(weight.shape[1] / format_->bytes);
    memory_ = gpu::Memory(args.device()->device.device_id,
                          static_cast<std::size_t>(rows_) * static_cast<std::size_t>(blocks_ * format_->bytes));
    update_params(args);
  }

  // What the stream has been given before reads the weight that was, in its order.
  void update_params(const CreateArgs& args) {
    const auto rows = gpu::rows_of<const std::uint8_t>(*args.param("weight"));
    visit([&](const auto& weight) {
      gpu::launch(args, pack_blocks<std::decay_t<decltype(weight)>>, gpu::blocks_for(rows_ * blocks_, packing_threads),
                  packing_threads, 0, rows, rows_, blocks_, static_cast<int>(format_->bytes), weight);
    });
  }

  void forward(const lh_call& call) const {
    visit([&](const auto& weight) {
      layerhub::linear::multiply(call, weight, static_cast<int>(rows_), *call.in[0], call.in[2], *call.out[0]);
    });
  }

 private:
  // Runs use(weight) with the packed weight as its format has it.
  template <class Use>
  void visit(const Use& use) const {
    if (format_->name == "gguf.q8_0") {
      use(BlockWeight<8>(memory_.as<std::byte>(), rows_, blocks_, false));
    } else {
      use(BlockWeight<4>(memory_.as<std::byte>(), rows_, blocks_, format_->name == "gguf.q4_1"));
    }
  }

  const BlockFormat* format_;
  std::int64_t rows_ = 0;
  int blocks_ = 0;  // of a row
  gpu::Memory memory_;
};

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, LinearQuantized, layerhub::layers::Linear, "dequantizing");

}  // namespace
