// SPDX-License-Identifier: Apache-2.0
// What kernels are held against: the plainest kernel that moves memory, the matrix units alone, the plainest launch.
#pragma once

#include <cuda_runtime.h>
#include <dlpack/dlpack.h>

#include <cstddef>

namespace layerhub::bench {

// to = from, 16 bytes of each thread, as many threads as there are. bytes is a multiple of 16, and both are aligned.
void copy_in_packs(void* to, const void* from, std::size_t bytes, cudaStream_t stream);

// Products of tiles in registers, by the matrix units and on all of the card, of float16 or bfloat16 numbers. Each warp
// makes `rounds` of them on each of its sums. Returns how many multiply-adds that are.
double multiply_in_registers(DLDataType dtype, int rounds, cudaStream_t stream);

// A launch of a kernel that does nothing, with one block and as many bytes of arguments as a kernel with two tensors
// has.
void launch_nothing(cudaStream_t stream);

}  // namespace layerhub::bench
