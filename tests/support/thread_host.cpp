// SPDX-License-Identifier: Apache-2.0
#include "support/thread_host.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

namespace layerhub::testing {
namespace {

thread_local bool inside_a_run = false;

}  // namespace

ThreadHost& ThreadHost::instance() {
  static ThreadHost host;
  return host;
}

ThreadHost::ThreadHost() {
  static constexpr lh_parallel_1 parallel{
      sizeof(lh_parallel_1), 0, [](const lh_host* host) { return static_cast<ThreadHost*>(host->context)->width_; },
      [](const lh_host* host, std::uint32_t n_tasks, void (*task)(void*, std::uint32_t, std::uint32_t), void* user) {
        static_cast<ThreadHost*>(host->context)->run(n_tasks, task, user);
      }};
  host_.struct_size = sizeof host_;
  host_.context = this;
  host_.get_extension = [](const lh_host*, const char* id) -> const void* {
    return std::strcmp(id, LH_PARALLEL_1_ID) == 0 ? &parallel : nullptr;
  };
  host_.log = [](const lh_host*, std::int32_t, lh_str) {};
}

void ThreadHost::run(std::uint32_t n_tasks, void (*task)(void*, std::uint32_t, std::uint32_t), void* user) const {
  std::atomic<std::uint32_t> next{0};
  const bool nested = inside_a_run;
  const auto work = [&](std::uint32_t worker) {
    const bool outer = inside_a_run;
    inside_a_run = true;
    for (std::uint32_t index = next++; index < n_tasks; index = next++) {
      task(user, index, worker);
    }
    inside_a_run = outer;
  };
  std::vector<std::jthread> others;
  for (std::uint32_t worker = 1; !nested && worker < std::min(width_, n_tasks); ++worker) {
    others.emplace_back(work, worker);
  }
  work(0);
}

}  // namespace layerhub::testing
