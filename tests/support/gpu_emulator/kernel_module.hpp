// SPDX-License-Identifier: Apache-2.0
// What the emulator knows of a kernel from its address alone: its name, and the shared memory of its library.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace layerhub::gpu_emulator {

// "void layerhub::gated_kernel<float>(...)"; from the library's symbol table, so that local symbols have names too.
std::string kernel_name(const void* kernel);

// The thread-local block of the kernel's library for the calling thread: what its __shared__ variables lie in.
std::span<std::byte> static_shared_memory(const void* kernel);

}  // namespace layerhub::gpu_emulator
