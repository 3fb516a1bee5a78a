// SPDX-License-Identifier: Apache-2.0
// The tile registers of AMX: matrices of at most 16 rows of 64 bytes, in float32 or in pairs of bfloat16.
//
// Multiplied are 16 rows of 32 activations with 16 outputs: row k of the second factor holds elements 2k and 2k + 1 of
// each output. Products are exact and added up in float32, with subnormal numbers taken as 0.
//
// Asm statements, since the intrinsics of g++ 12 don't say that they read memory: it drops the stores before them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace {

// The shapes of the calling thread's registers, as the instruction reads them.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes_of_row[16] = {};
  std::uint8_t rows[16] = {};
};

// Registers in use: the process must have the system's permission, which the feature `amx_bf16` stands for. They are
// given back in the end, since until then the system saves them with every switch of threads.
class TileRegisters {
 public:
  TileRegisters() = default;
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
  ~TileRegisters() { asm volatile("tilerelease" ::: "memory"); }

  // Their contents become 0.
  void configure(const TileShapes& shapes) { asm volatile("ldtilecfg %0" : : "m"(shapes) : "memory"); }

  template <int index>
  void clear() {
    asm volatile("tilezero %%tmm%c0" : : "i"(index));
  }
  // step: bytes from row to row.
  template <int index>
  void load(const void* from, std::int64_t step) {
    asm volatile("tileloadd (%0, %1), %%tmm%c2" : : "r"(from), "r"(step), "i"(index) : "memory");
  }
  template <int index>
  void store(void* to, std::int64_t step) {
    asm volatile("tilestored %%tmm%c2, (%0, %1)" : : "r"(to), "r"(step), "i"(index) : "memory");
  }
  template <int sums, int a, int b>
  void add_products() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(b));
  }
};

}  // namespace
