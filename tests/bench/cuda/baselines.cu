// SPDX-License-Identifier: Apache-2.0
#include "baselines.hpp"

#include <layerhub/sdk/gpu.hpp>

namespace layerhub::bench {
namespace {

__global__ void copy_packs(uint4* to, const uint4* from, std::size_t packs) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < packs) {
    to[i] = from[i];
  }
}

struct TwoTensors {
  sdk::gpu::Rows<const float> x;
  sdk::gpu::Rows<float> y;
  std::int64_t rows, width;
};
__global__ void nothing(TwoTensors) {}

}  // namespace

void copy_in_packs(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
  constexpr unsigned threads = 256;
  const std::size_t packs = bytes / sizeof(uint4);
  copy_packs<<<static_cast<unsigned>((packs + threads - 1) / threads), threads, 0, stream>>>(
      static_cast<uint4*>(to), static_cast<const uint4*>(from), packs);
}

void launch_nothing(cudaStream_t stream) { nothing<<<1, 256, 0, stream>>>(TwoTensors{}); }

}  // namespace layerhub::bench
