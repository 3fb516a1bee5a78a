// SPDX-License-Identifier: Apache-2.0
// What kernels are held against: the plainest kernel that moves memory, and the plainest launch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace layerhub::bench {

// to = from, 16 bytes of each thread, as many threads as there are. bytes is a multiple of 16, and both are aligned.
void copy_in_packs(void* to, const void* from, std::size_t bytes, cudaStream_t stream);

// A launch of a kernel that does nothing, with one block and as many bytes of arguments as a kernel with two tensors
// has.
void launch_nothing(cudaStream_t stream);

}  // namespace layerhub::bench
