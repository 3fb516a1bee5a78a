// SPDX-License-Identifier: Apache-2.0
#include "launch.hpp"

#include "block.hpp"
#include "kernel_module.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <vector>

namespace layerhub::gpu_emulator {
namespace {

// Reads as NaN in every float type and as -1 in integers: what nobody has written is seen.
constexpr std::byte unwritten{0xff};
constexpr std::byte behind{0x5c};
constexpr std::size_t guard = 4096;

constexpr std::size_t largest = 64 * 1024;  // of any device

Block* running = nullptr;

}  // namespace
}  // namespace layerhub::gpu_emulator

// What dynamic_shared() of the SDK declares: the memory that a launch asked for, then a guard.
namespace layerhub::sdk::gpu {
alignas(128) thread_local uint4 layerhub_dynamic_shared[(gpu_emulator::largest + gpu_emulator::guard) / sizeof(uint4)];
}

namespace layerhub::gpu_emulator {

std::string run(const Launch& launch) {
  static unsigned seed = 1;
  seed = seed * 22695477u + 1u;
  Block block(launch, seed);
  const std::span<std::byte> variables = static_shared_memory(launch.kernel);
  auto* const dynamic = reinterpret_cast<std::byte*>(sdk::gpu::layerhub_dynamic_shared);
  const std::span<std::byte> asked(dynamic, launch.shared_bytes), after(dynamic + launch.shared_bytes, guard);
  std::fill(after.begin(), after.end(), behind);
  running = &block;
  blockDim = launch.block;
  gridDim = launch.grid;

  // Blocks in an order of their own as well: forward, or backward.
  const std::size_t blocks = std::size_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  std::string error;
  for (std::size_t i = 0; i < blocks && error.empty(); ++i) {
    const std::size_t b = (seed >> 20 & 1) != 0 ? i : blocks - 1 - i;
    std::fill(variables.begin(), variables.end(), unwritten);
    std::fill(asked.begin(), asked.end(), unwritten);
    const bool ended =
        block.run({static_cast<unsigned>(b % launch.grid.x), static_cast<unsigned>(b / launch.grid.x % launch.grid.y),
                   static_cast<unsigned>(b / launch.grid.x / launch.grid.y)});
    if (!ended) {
      error = block.error();
    } else if (std::any_of(after.begin(), after.end(), [](std::byte b) { return b != behind; })) {
      error = "a thread wrote behind the " + std::to_string(launch.shared_bytes) + " bytes of dynamic shared memory";
    }
  }
  running = nullptr;
  return error.empty() ? error : kernel_name(launch.kernel) + ": " + error;
}

// ---- What device code calls ----

void sync_threads(Place place) { running->sync_threads(place); }

void meet(std::uint64_t mask, void* brings, Perform perform, Place place) {
  running->meet(mask, brings, perform, place);
}

unsigned lane_index() { return running->lane(); }

void fail(const char* text, const char* file, unsigned line) {
  const std::string whole = std::string(text) + " at " + text_of(file, line);
  if (running == nullptr) {  // code of the host that was compiled with the checks of device code
    std::fprintf(stderr, "gpu_emulator: outside of a kernel: %s\n", whole.c_str());
    std::abort();
  }
  running->fail(whole);
}

}  // namespace layerhub::gpu_emulator
