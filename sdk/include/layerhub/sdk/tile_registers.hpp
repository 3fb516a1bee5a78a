// SPDX-License-Identifier: Apache-2.0
// The tile registers of AMX, for units of the level v4-amx: matrices of at most 16 rows of 64 bytes, in float32 or in
// pairs of bfloat16. Intel's "Architecture Instruction Set Extensions Programming Reference" has the instructions.
//
// A product is of m <= 16 rows of 32 elements and of 32 rows of 16, which its register holds in pairs: row k has
// elements 2k and 2k + 1 of each of the 16 columns. Products are exact and added up in float32, with subnormal numbers
// taken as 0; NaN and infinity are as in float.
//
// Asm statements, since the intrinsics of g++ 12 don't say that they read memory: it drops the stores before them.
#pragma once

#include <cstdint>

#include <sys/syscall.h>
#include <unistd.h>

namespace layerhub::sdk {

// Asks the system for this process's permission to use the registers, which are 8 KiB more to save; the core does.
// Whether it is given. Not where a thread has a stack for signals too small for what the system would put there, nor
// where a filter forbids the call. [thread-safe]
inline bool permit_tile_registers() {
  constexpr unsigned long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM of asm/prctl.h, since Linux 5.16
  return ::syscall(SYS_arch_prctl, request, tile_data) == 0;
}

// The shapes of a thread's registers, as the instruction reads them. A register without rows can't be used.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes_of_row[16] = {};
  std::uint8_t rows[16] = {};

  void set(int index, int row_count, int bytes) {
    rows[index] = static_cast<std::uint8_t>(row_count);
    bytes_of_row[index] = static_cast<std::uint16_t>(row_count == 0 ? 0 : bytes);  // else the instruction faults
  }
};

// The calling thread's registers, from configure() to the end of the object: the system saves registers in use with
// every switch of threads. One object in a thread at a time. The process must have the system's permission: the core
// opens libraries that need the feature `amx_bf16` only where it has it. [one thread at a time]
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
  // step: bytes from row to row. Rows within one line of the cache are fastest.
  template <int index>
  void load(const void* from, std::int64_t step) {
    asm volatile("tileloadd (%0, %1), %%tmm%c2" : : "r"(from), "r"(step), "i"(index) : "memory");
  }
  template <int index>
  void store(void* to, std::int64_t step) {
    asm volatile("tilestored %%tmm%c2, (%0, %1)" : : "r"(to), "r"(step), "i"(index) : "memory");
  }
  // sums += a b
  template <int sums, int a, int b>
  void add_bfloat16_products() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(b));
  }
};

}  // namespace layerhub::sdk
