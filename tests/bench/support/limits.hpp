// SPDX-License-Identifier: Apache-2.0
// What the machine itself can do, to be measured in the same loop as a kernel: reading, copying and streaming the same
// bytes with the same threads, and multiplying in registers.
#pragma once

#include "bench/support/host.hpp"

#include <cstddef>

namespace layerhub::bench {

// Bytes that no cache of this machine holds: at least 128 MiB, and twice the largest cache that it tells of.
std::size_t out_of_cache();

// Reads every byte once. Returns something of all of them, so that it can't be left out.
float read(Team& team, const void* from, std::size_t bytes);

// to = from, and to = a + b, with non-temporal stores: `to` is aligned to 64 bytes.
void copy(Team& team, void* to, const void* from, std::size_t bytes);
void stream(Team& team, float* to, const float* a, const float* b, std::size_t count);

// Multiply-adds of 8-bit numbers in registers by each thread: as many as take about a millisecond. Returns how many it
// were in all; they are vpdpbusd where the processor and LAYERHUB_CPU_CAPABILITY have it, else vpmaddubsw with
// 16-bit additions.
double multiply_bytes(Team& team);

}  // namespace layerhub::bench
