// SPDX-License-Identifier: Apache-2.0
#include "plugin/host_services.hpp"

#include "base/log.hpp"
#include "base/reason.hpp"
#include "base/thread_pool.hpp"

#include <layerhub/abi/parallel.h>
#include <layerhub/parallel.hpp>

#include <algorithm>
#include <atomic>
#include <string_view>

namespace layerhub {
namespace plugin {
namespace {

ThreadPool& pool() {
  static ThreadPool& instance = *new ThreadPool(usable_processors());  // its threads may outlive main's statics
  return instance;
}

std::atomic<const ParallelRunner*> runner{nullptr};

std::uint32_t width(const lh_host*) {
  const ParallelRunner* host_runner = runner.load(std::memory_order_acquire);
  return host_runner == nullptr ? pool().width() : std::max(1u, host_runner->width(host_runner->context));
}

void run(const lh_host*, std::uint32_t n_tasks, void (*task)(void*, std::uint32_t, std::uint32_t), void* user) {
  if (const ParallelRunner* host_runner = runner.load(std::memory_order_acquire)) {
    host_runner->run(host_runner->context, n_tasks, task, user);
  } else {
    pool().run(n_tasks, task, user);
  }
}

constexpr lh_parallel_1 parallel{sizeof(lh_parallel_1), 0, &width, &run};

const void* get_extension(const lh_host*, const char* id) {
  return id != nullptr && std::string_view(id) == LH_PARALLEL_1_ID ? &parallel : nullptr;
}

void log_from_plugin(const lh_host*, std::int32_t level, lh_str message) {
  const auto bounded = static_cast<LogLevel>(std::clamp(level, 1, 4));
  if (log_enabled(bounded) && message.data != nullptr) {
    log_line(bounded, printable({message.data, message.size}, 1000));
  }
}

constexpr lh_host host{sizeof(lh_host), 0, nullptr, &get_extension, &log_from_plugin};

}  // namespace

const lh_host& host_services() noexcept { return host; }

}  // namespace plugin

void set_threads(unsigned count) { plugin::pool().resize(count == 0 ? usable_processors() : count); }

unsigned threads() noexcept { return plugin::width(nullptr); }

void set_parallel(const ParallelRunner* runner) {
  if (runner != nullptr && (runner->width == nullptr || runner->run == nullptr)) {
    throw Error(make_reason(ErrorCode::invalid_argument, "parallel",
                            "set_parallel: the runner has no width or no run; give both, or nullptr for the own pool"));
  }
  plugin::runner.store(runner, std::memory_order_release);
}

}  // namespace layerhub
