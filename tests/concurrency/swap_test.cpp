// SPDX-License-Identifier: Apache-2.0
// Calls in flight while what serves them changes. `instance` poisons the factor that its forward reads when it is
// destroyed: a call that outlives its binding gives a number that nothing else gives.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

using namespace layerhub;
using namespace layerhub::testing;

namespace {

constexpr auto duration = std::chrono::milliseconds(400);

// Runs `body` on several threads at once until the time is over, and `change` meanwhile on this one.
template <class Body, class Change>
void hammer(int threads, Body&& body, Change&& change) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&] {
      while (!stop.load()) body();
    });
  }
  const auto end = std::chrono::steady_clock::now() + duration;
  while (std::chrono::steady_clock::now() < end) change();
  stop = true;
  for (std::thread& worker : workers) worker.join();
}

}  // namespace

TEST_CASE("a binding that is replaced under calls in flight is destroyed only after the last of them") {
  TestEnvironment env;
  env.add("instance");
  const Scale layer;
  std::atomic<std::uint64_t> wrong{0}, kernel{0}, own{0};
  const Mapping mapping = scale_from("fakes/instance");
  hammer(
      3,
      [&] {
        const float y = outputs(layer)[0];
        (y == 2 ? kernel : y == 1001 ? own : wrong).fetch_add(1);
      },
      [&] {
        {
          const use_kernel_mapping scope(mapping);
          kernelize(layer);
        }
        std::this_thread::sleep_for(std::chrono::microseconds(200));  // so that calls meet it on a busy machine too
        unkernelize(layer);
      });
  CHECK(wrong == 0);
  CHECK(kernel > 0);
  CHECK(own > 0);
}

TEST_CASE("threads that call a layer for the first time at once open its library once and bind once") {
  for (int round = 0; round < 10; ++round) {
    TestEnvironment env;
    env.add("instance");
    const Scale layer;
    register_kernel_mapping(scale_from("fakes/instance"));
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { wrong += outputs(layer)[0] != 2; });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(loaded_kernels().size() == 1);
  }
}

TEST_CASE("a worker thread sees the process-wide mapping and not another thread's scope") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  const Scale layer;
  register_kernel_mapping(scale_from("fakes/twice"));
  const use_kernel_mapping scope(scale_from("fakes/thrice"));
  CHECK(outputs(layer)[0] == 3);
  float seen = 0, carried = 0;
  const Mapping here = current_kernel_mapping();
  std::thread([&] {
    seen = outputs(layer)[0];
    const use_kernel_mapping adopted(here, false);
    carried = outputs(layer)[0];
  }).join();
  CHECK(seen == 2);
  CHECK(carried == 3);
}

TEST_CASE("the process-wide mapping may change while other threads call") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  const Scale layer;
  std::atomic<std::uint64_t> wrong{0};
  const Mapping twice = scale_from("fakes/twice"), thrice = scale_from("fakes/thrice");
  register_kernel_mapping(twice);
  hammer(
      3,
      [&] {
        const float y = outputs(layer)[0];
        wrong += y != 2 && y != 3;
      },
      [&] {
        register_kernel_mapping(thrice, false);
        register_kernel_mapping(twice, false);
      });
  CHECK(wrong == 0);
}

TEST_CASE(
    "ten million calls inside and outside of scopes, while others register, give the results of their own mapping") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  const Scale layer;
  const Mapping twice = scale_from("fakes/twice"), thrice = scale_from("fakes/thrice");
  register_kernel_mapping(twice);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr int calls_each = 100'000;
#else
  constexpr int calls_each = 2'500'000;
#endif
  std::atomic<std::uint64_t> wrong{0}, made{0};
  std::atomic<int> running{4};
  const auto call = [&](bool in_scope) {
    const std::int64_t shape = 3, stride = 1;
    float x[3] = {1, 2, 3}, y[3];
    const DLTensor in{
        x, {kDLCPU, 0}, 1, {kDLFloat, 32, 1}, const_cast<std::int64_t*>(&shape), const_cast<std::int64_t*>(&stride), 0};
    DLTensor out = in;
    out.data = y;
    struct Raw : use_kernel_forward_from_hub<Raw, "Scale"> {
      void forward(const DLTensor&, DLTensor&) const {}
    };
    static const Raw shared;  // one layer for all four threads
    std::uint64_t bad = 0;
    for (int i = 0; i < calls_each;) {
      std::optional<use_kernel_mapping> scope;
      if (in_scope) scope.emplace(thrice);
      for (const int end = i + 1000; i < end; ++i) {
        y[0] = y[1] = y[2] = 0;
        shared(in, out);
        const float factor = y[0];
        bad += (in_scope ? factor != 3 : factor != 2 && factor != 3) || y[1] != 2 * factor || y[2] != 3 * factor;
      }
    }
    wrong += bad;
    made += calls_each;
    --running;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(call, i % 2 == 0);
  while (running > 0) {
    register_kernel_mapping(thrice, false);
    register_kernel_mapping(twice, false);
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(made == std::uint64_t{4} * calls_each);
}
