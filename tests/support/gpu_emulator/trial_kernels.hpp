// SPDX-License-Identifier: Apache-2.0
// Kernels for the emulator's own tests, each with one defect or none. A library of their own, since the thread-local
// variables of a library are its kernels' shared memory.
#pragma once

#include "launch.hpp"

namespace layerhub::gpu_emulator::trial {

// to[i] = from[n - 1 - i] for one block of n threads, through shared memory.
Launch reversed(const float* from, float* to, unsigned n);
Launch reversed_without_barrier(const float* from, float* to, unsigned n);

// to[b] = 1 + what the shared memory of block b holds before anybody has written it.
Launch unwritten_shared(float* to, unsigned blocks);

// Half of the threads wait for the block, the others have ended or wait elsewhere.
Launch barrier_of_some();
Launch barriers_at_two_places();

// A pack of four at `to`, which is aligned to it or not; element `index` of 8 in shared memory, and of `n` in dynamic.
Launch pack_at(float* to);
Launch static_index(float* to, int index);
Launch dynamic_index(float* to, unsigned n, unsigned index);

// to[i] = the value i of thread i, taken by a shuffle from the lane that differs by the bits, or is so much further.
// warp: 32 with CUDA's functions, or 64 with HIP's.
Launch exchanged(float* to, unsigned n, int bits, unsigned warp);
Launch moved_down(float* to, unsigned n, unsigned delta, unsigned warp);
// A shuffle in a branch that half of the lanes take; one that reads a lane outside of its mask.
Launch shuffle_of_some(float* to);
Launch shuffle_beyond_its_mask(float* to);

// to[i] += by for one block of n threads.
Launch added(float* to, float by, unsigned n);

}  // namespace layerhub::gpu_emulator::trial
