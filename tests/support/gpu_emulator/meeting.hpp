// SPDX-License-Identifier: Apache-2.0
// Where the threads of a block wait for each other: all that device code needs of the emulator beside its own language.
//
// Every wait names the place in the source. A thread that waits elsewhere, or that has ended, while others wait here is
// an error of the kernel, as on a device it would be a hang or garbage.
#pragma once

#include "vector_types.hpp"

#include <cstddef>
#include <cstdint>
#include <source_location>

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace layerhub::gpu_emulator {

using Place = std::source_location;

// All threads of the block.
void sync_threads(Place place);

// The lanes of `mask` in the calling thread's warp. Each gives a pointer to what it brings, which stays valid until it
// goes on; the last to arrive runs perform(brought, lanes) for all of them, with nullptr for lanes not in the mask.
using Perform = void (*)(void* const* brought, unsigned lanes);
void meet(std::uint64_t mask, void* brings, Perform perform, Place place);

// The index of the calling thread in its warp.
unsigned lane_index();

// Ends the launch with this error of the kernel, "<text> at <file>:<line>": the thread's stack is given up.
[[noreturn]] void fail(const char* text, const char* file, unsigned line);

}  // namespace layerhub::gpu_emulator
