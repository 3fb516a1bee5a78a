// SPDX-License-Identifier: Apache-2.0
#include "baselines.hpp"

#include <layerhub/sdk/gpu_matrix.hpp>

namespace layerhub::bench {
namespace {

namespace gpu = sdk::gpu;

__global__ void copy_packs(uint4* to, const uint4* from, std::size_t packs) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < packs) {
    to[i] = from[i];
  }
}

constexpr int threads = 256;
constexpr int sums_of_warp = 4;  // products that do not wait for each other

// The sums are never as large as `never`, but the compiler has to make them to know.
template <class T>
__global__ void __launch_bounds__(threads) multiply_tiles(int rounds, float never, float* kept) {
  alignas(32) __shared__ T tile[16 * 16];
  alignas(32) __shared__ float results[threads / gpu::warp_size][16 * 16];
  tile[threadIdx.x] = gpu::narrow<T>(1 + static_cast<float>(threadIdx.x) / threads);
  __syncthreads();
  gpu::MatrixA<T> a;
  gpu::MatrixB<T> b;
  gpu::MatrixSum sums[sums_of_warp];
  gpu::load_matrix(a, tile, 16);
  gpu::load_matrix(b, tile, 16);
#pragma unroll
  for (gpu::MatrixSum& sum : sums) {
    gpu::set_matrix(sum, 0);
  }
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (gpu::MatrixSum& sum : sums) {
      gpu::multiply_matrices<T>(sum, a, b);
    }
  }
  float* result = results[threadIdx.x / gpu::warp_size];
#pragma unroll
  for (const gpu::MatrixSum& sum : sums) {
    gpu::store_matrix(result, sum, 16);
    __syncthreads();
    if (result[gpu::lane()] >= never) {
      *kept = never;
    }
  }
}

struct TwoTensors {
  gpu::Rows<const float> x;
  gpu::Rows<float> y;
  std::int64_t rows, width;
};
__global__ void nothing(TwoTensors) {}

template <class... Parameters>
void launch(void (*kernel)(Parameters...), unsigned blocks, cudaStream_t stream, Parameters... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.stream = stream;
  gpu::check(cudaLaunchKernelEx(&config, kernel, arguments...), "a launch");
}

}  // namespace

void copy_in_packs(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
  const std::size_t packs = bytes / sizeof(uint4);
  launch(copy_packs, gpu::blocks_for(static_cast<std::int64_t>(packs), threads), stream, static_cast<uint4*>(to),
         static_cast<const uint4*>(from), packs);
}

double multiply_in_registers(DLDataType dtype, int rounds, cudaStream_t stream) {
  constexpr int blocks_at_once = 2;  // of a multiprocessor: 16 warps keep its units busy
  const int blocks = blocks_at_once * gpu::multiprocessors(0);
  constexpr float never = 3e38f;
  launch(sdk::same(dtype, sdk::bf16) ? &multiply_tiles<sdk::bfloat16> : &multiply_tiles<sdk::float16>,
         static_cast<unsigned>(blocks), stream, rounds, never, static_cast<float*>(nullptr));
  constexpr double of_product = 16 * 16 * 16;
  return of_product * rounds * sums_of_warp * blocks * (threads / gpu::warp_size);
}

void launch_nothing(cudaStream_t stream) { launch(nothing, 1, stream, TwoTensors{}); }

}  // namespace layerhub::bench
