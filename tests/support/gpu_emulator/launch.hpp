// SPDX-License-Identifier: Apache-2.0
// A launch: runs every thread of every block, and reports the first error of the kernel.
#pragma once

#include "vector_types.hpp"

#include <cstddef>
#include <functional>
#include <string>

namespace layerhub::gpu_emulator {

struct Launch {
  const void* kernel = nullptr;  // its address, for its name and for the library whose shared memory it uses
  dim3 grid, block;
  std::size_t shared_bytes = 0;  // dynamic
  unsigned warp = 32;
  std::function<void()> body;  // the kernel with its arguments: called once for each thread
};

// "" or, in one line, the kernel's error. No two at once.
std::string run(const Launch& launch);

}  // namespace layerhub::gpu_emulator
