// SPDX-License-Identifier: Apache-2.0
#include "trial_kernels.hpp"

#include "include/cuda_runtime.h"

namespace layerhub::sdk::gpu {
extern __shared__ uint4 layerhub_dynamic_shared[];  // as the SDK declares it
}

namespace layerhub::gpu_emulator::trial {
namespace {

__global__ void reverse(const float* from, float* to, bool waits) {
  __shared__ float all[1024];
  all[threadIdx.x] = from[threadIdx.x];
  if (waits) {
    __syncthreads();
  }
  to[threadIdx.x] = all[blockDim.x - 1 - threadIdx.x];
}

__global__ void read_unwritten(float* to) {
  __shared__ float sum;
  sum += 1;
  to[blockIdx.x] = sum;
}

__global__ void wait_in_half_of_the_block() {
  if (threadIdx.x < blockDim.x / 2) {
    __syncthreads();
  }
}

__global__ void wait_in_both_branches() {
  if (threadIdx.x < blockDim.x / 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void store_pack(float* to) { *reinterpret_cast<float4*>(to) = make_float4(1, 2, 3, 4); }

__global__ void store_static(float* to, int index) {
  __shared__ float few[8];
  few[index] = 1;
  to[0] = few[index];
}

__global__ void store_dynamic(float* to, unsigned index) {
  auto* all = reinterpret_cast<float*>(sdk::gpu::layerhub_dynamic_shared);
  all[index] = 1;
  to[0] = all[index];
}

template <unsigned warp>
__global__ void exchange(float* to, int bits) {
  const auto mine = static_cast<float>(threadIdx.x);
  const unsigned source = source_of_xor(bits, static_cast<int>(warp));
  to[threadIdx.x] = shuffle_from(all_lanes, mine, source, Place::current());
}

template <unsigned warp>
__global__ void move_down(float* to, unsigned delta) {
  const auto mine = static_cast<float>(threadIdx.x);
  const unsigned source = source_of_down(delta, static_cast<int>(warp));
  to[threadIdx.x] = shuffle_from(all_lanes, mine, source, Place::current());
}

__global__ void shuffle_in_a_branch(float* to) {
  if (threadIdx.x % 2 == 0) {
    to[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.f, 2);
  }
}

__global__ void shuffle_over_the_mask(float* to) {
  if (threadIdx.x % 2 == 0) {
    to[threadIdx.x] = __shfl_xor_sync(0x55555555u, 1.f, 1);
  }
}

__global__ void add(float* to, float by) { to[threadIdx.x] += by; }

template <class... Parameters, class... Arguments>
Launch described(void (*kernel)(Parameters...), unsigned blocks, unsigned threads, Arguments... arguments) {
  Launch launch;
  launch.kernel = reinterpret_cast<const void*>(kernel);
  launch.grid = blocks;
  launch.block = threads;
  launch.body = [=] { kernel(arguments...); };
  return launch;
}

Launch with_warp(Launch launch, unsigned warp) {
  launch.warp = warp;
  return launch;
}

}  // namespace

Launch reversed(const float* from, float* to, unsigned n) { return described(reverse, 1, n, from, to, true); }
Launch reversed_without_barrier(const float* from, float* to, unsigned n) {
  return described(reverse, 1, n, from, to, false);
}
Launch unwritten_shared(float* to, unsigned blocks) { return described(read_unwritten, blocks, 1, to); }
Launch barrier_of_some() { return described(wait_in_half_of_the_block, 3, 64); }
Launch barriers_at_two_places() { return described(wait_in_both_branches, 3, 64); }
Launch pack_at(float* to) { return described(store_pack, 1, 1, to); }
Launch static_index(float* to, int index) { return described(store_static, 1, 1, to, index); }
Launch dynamic_index(float* to, unsigned n, unsigned index) {
  Launch launch = described(store_dynamic, 1, 1, to, index);
  launch.shared_bytes = n * sizeof(float);
  return launch;
}
Launch exchanged(float* to, unsigned n, int bits, unsigned warp) {
  return with_warp(described(warp == 32 ? exchange<32> : exchange<64>, 1, n, to, bits), warp);
}
Launch moved_down(float* to, unsigned n, unsigned delta, unsigned warp) {
  return with_warp(described(warp == 32 ? move_down<32> : move_down<64>, 1, n, to, delta), warp);
}
Launch shuffle_of_some(float* to) { return described(shuffle_in_a_branch, 1, 64, to); }
Launch shuffle_beyond_its_mask(float* to) { return described(shuffle_over_the_mask, 1, 64, to); }
Launch added(float* to, float by, unsigned n) { return described(add, 1, n, to, by); }

}  // namespace layerhub::gpu_emulator::trial
