// SPDX-License-Identifier: Apache-2.0
// What the processor multiplies: products that every thread sums in registers, for one kind of number.
#pragma once

#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/vector.hpp>

#include <atomic>

namespace {

using namespace layerhub::sdk;

constexpr int chains = 12;               // independent sums: more than the latency of a multiplication needs
constexpr std::int64_t rounds = 50'000;  // some hundred microseconds

// multiply(sum, a, b) adds `products` products to the sums in a register. made[0]: how many a call made, as float32.
template <class V, class Multiply>
void multiply_for_a_while(const lh_call& call, int products, V a, V b, Multiply multiply) {
  const std::uint32_t workers = worker_count(call.host);
  std::atomic<std::int64_t> kept{0};
  parallel_for(call.host, workers, [&](std::uint32_t, std::uint32_t) {
    V sums[chains] = {}, here = a, there = b;
    for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
      for (V& sum : sums) {
        __asm__ volatile("" : "+x"(here), "+x"(there));  // else it is done once, or a part of it for all sums
        sum = multiply(sum, here, there);
      }
    }
    for (const V& sum : sums) {
      kept.fetch_add(static_cast<std::int64_t>(sum[0]), std::memory_order_relaxed);
    }
  });
  // The sums are there so that the compiler can't do without the work; together they are never that number.
  const double made = static_cast<double>(rounds) * chains * products * workers;
  *static_cast<float*>(call.out[0]->data) = kept == -1 ? 0.f : static_cast<float>(made);
}

}  // namespace
