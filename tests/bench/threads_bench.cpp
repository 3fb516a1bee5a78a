// SPDX-License-Identifier: Apache-2.0
// What does it cost to hand work to the pool's other thread and to have it back? A decode step does so some 120 times.
// Bar: 0.3 us between threads that are awake, which is 36 us of such a step; no pair, for nobody else's pool is here.
//
// Two tasks of some 2 us of arithmetic each, and what their run takes beyond one of them: the tasks handed over, the
// worker's begun, the end of it seen. The limit is one line of the cache that goes to the other processor and another
// one that comes back. The rows after a rest say what a run costs whose worker gives way or must be woken, where it is
// the system's time that counts.
#include "bench/support/report.hpp"

#include "base/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

namespace {

using namespace layerhub::bench;

constexpr double bar_nanoseconds = 300;
constexpr int runs = 20'000;

// Arithmetic that only takes time.
void work(void*, std::uint32_t, std::uint32_t) {
  std::uint64_t value = 1;
  for (int i = 0; i < 1500; ++i) {
    value = value * 0x9e3779b97f4a7c15u + 1;
    asm volatile("" : "+r"(value));
  }
}

double of_runs(layerhub::ThreadPool& pool, int n) {
  const double together = nanoseconds_of([&] {
    for (int i = 0; i < n; ++i) pool.run(2, &work, nullptr);
  });
  const double alone = nanoseconds_of([&] {
    for (int i = 0; i < n; ++i) work(nullptr, 0, 0);
  });
  return std::max(1.0, (together - alone) / n);
}

// A thread that does nothing but write what it reads.
double of_lines(int n) {
  struct alignas(64) Line {
    std::atomic<int> number = 0;
  };
  Line there, back;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // until the pool's thread sleeps
  const std::jthread echo([&] {
    for (int next = 1; next <= 2 * n; ++next) {
      while (there.number.load(std::memory_order_acquire) != next) {
      }
      back.number.store(next, std::memory_order_release);
    }
  });
  const auto send = [&](int first, int last) {
    for (int next = first; next <= last; ++next) {
      there.number.store(next, std::memory_order_release);
      while (back.number.load(std::memory_order_acquire) != next) {
      }
    }
  };
  send(1, n);  // the thread has begun, on the other processor
  return nanoseconds_of([&] { send(n + 1, 2 * n); }) / n;
}

double after_a_rest(layerhub::ThreadPool& pool, std::chrono::milliseconds rest) {
  std::this_thread::sleep_for(rest);
  return of_runs(pool, 1);
}

}  // namespace

int main(int argc, char** argv) {
  return layerhub::bench::run(argc, argv, [](Report& report) {
    layerhub::ThreadPool pool(2);
    if (layerhub::usable_processors() < 2) {
      report.not_measured("fork and join of two threads", at_most(1), "there is one processor");
      return 0;
    }
    const auto add = [&](const char* name, auto&& ours, std::optional<Goal> goal) {
      report.add(name, compare_to_constant(ours, bar_nanoseconds, report.pairs()), goal);
    };
    report.heading("0.3 us, a constant");
    of_runs(pool, runs);
    const auto awake = [&] { return of_runs(pool, runs); };
    const auto after_1_ms = [&] { return after_a_rest(pool, std::chrono::milliseconds(1)); };
    const auto after_10_ms = [&] { return after_a_rest(pool, std::chrono::milliseconds(10)); };
    add("fork and join of two threads that are awake", awake, at_most(1));
    add("the same after 1 ms: the worker gives way", after_1_ms, std::nullopt);
    add("the same after 10 ms: the worker sleeps", after_10_ms, std::nullopt);
    report.heading("a line of the cache that goes there and another that comes back");
    report.add("fork and join of two threads that are awake",
               compare_measured(
                   awake, [] { return of_lines(runs); }, report.pairs()),
               std::nullopt);
    return 0;
  });
}
