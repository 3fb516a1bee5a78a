// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.hpp"

#include "support/catch.hpp"
#include "support/rounds.hpp"

#include <atomic>
#include <chrono>
#include <ctime>
#include <set>
#include <thread>
#include <vector>

using layerhub::ThreadPool;

namespace {

struct Counts {
  explicit Counts(std::uint32_t n) : of_index(n) {}
  std::vector<std::atomic<int>> of_index;
  std::atomic<std::uint32_t> widest_worker{0};

  static void count(void* self, std::uint32_t index, std::uint32_t worker) {
    Counts& counts = *static_cast<Counts*>(self);
    counts.of_index[index].fetch_add(1);
    std::uint32_t widest = counts.widest_worker.load();
    while (worker > widest && !counts.widest_worker.compare_exchange_weak(widest, worker)) {
    }
  }
  bool all_once() const {
    for (const std::atomic<int>& n : of_index) {
      if (n.load() != 1) return false;
    }
    return true;
  }
};

}  // namespace

TEST_CASE("every task of a run is done exactly once before it returns, for any width and number") {
  for (const std::uint32_t width : {1u, 2u, 3u, 8u}) {
    ThreadPool pool(width);
    for (std::uint32_t n = 0; n < 40; ++n) {
      Counts counts(n);
      pool.run(n, &Counts::count, &counts);
      INFO(width << " threads, " << n << " tasks");
      REQUIRE(counts.all_once());
      REQUIRE(counts.widest_worker < width);
    }
  }
}

TEST_CASE("runs follow each other without a worker taking a task of the wrong one") {
  ThreadPool pool(4);
  for (int round = 0; round < layerhub::testing::rounds(20'000); ++round) {
    Counts counts(1 + static_cast<std::uint32_t>(round % 7));
    pool.run(static_cast<std::uint32_t>(counts.of_index.size()), &Counts::count, &counts);
    REQUIRE(counts.all_once());
  }
}

TEST_CASE("a run after the workers went to sleep is done all the same") {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(8));
    Counts counts(100);
    pool.run(100, &Counts::count, &counts);
    REQUIRE(counts.all_once());
  }
}

TEST_CASE("a pool that has nothing to do takes no processor time") {
  ThreadPool pool(3);
  for (int round = 0; round < 3; ++round) {  // asleep and woken in turn
    Counts counts(100);
    pool.run(100, &Counts::count, &counts);
    REQUIRE(counts.all_once());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const std::clock_t before = std::clock();  // of all threads of this process
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const double milliseconds = 1e3 * static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    CHECK(milliseconds < 5);
  }
}

TEST_CASE("several threads may run at once: each sees all of its own tasks done") {
  ThreadPool pool(3);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < layerhub::testing::rounds(1000); ++round) {
        Counts counts(16);
        pool.run(16, &Counts::count, &counts);
        wrong += counts.all_once() ? 0 : 1;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

TEST_CASE("a run inside a task is serial in its worker and does not wait for itself") {
  struct Nested {
    ThreadPool pool{2};
    std::atomic<int> inner{0};
  } nested;
  nested.pool.run(
      8,
      [](void* user, std::uint32_t, std::uint32_t) {
        Nested& self = *static_cast<Nested*>(user);
        self.pool.run(
            5, [](void* inner, std::uint32_t, std::uint32_t) { static_cast<Nested*>(inner)->inner.fetch_add(1); },
            user);
      },
      &nested);
  CHECK(nested.inner == 40);
}

TEST_CASE("the width may change between runs") {
  ThreadPool pool(1);
  for (const std::uint32_t width : {4u, 1u, 2u, 6u, 1u}) {
    pool.resize(width);
    CHECK(pool.width() == width);
    Counts counts(64);
    pool.run(64, &Counts::count, &counts);
    CHECK(counts.all_once());
    CHECK(counts.widest_worker < width);
  }
}
