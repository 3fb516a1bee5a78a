// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.hpp"

#include <sched.h>

#include <algorithm>
#include <chrono>

namespace layerhub {
namespace {

thread_local bool inside_task = false;

inline void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

constexpr auto spin_time = std::chrono::milliseconds(2);
constexpr int polls_between_clocks = 256;
constexpr std::uint32_t closed = 0xffffffff;  // an index that no run reaches

void run_serially(std::uint32_t n_tasks, ThreadPool::Task task, void* user) {
  for (std::uint32_t index = 0; index < n_tasks; ++index) {
    task(user, index, 0);
  }
}

}  // namespace

std::uint32_t usable_processors() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) {
    return std::max(1u, std::thread::hardware_concurrency());
  }
  return static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
}

ThreadPool::ThreadPool(std::uint32_t width) : width_(std::max(1u, width)) {}

ThreadPool::~ThreadPool() { stop_workers(); }

void ThreadPool::resize(std::uint32_t width) {
  std::lock_guard lock(owner_);
  if (std::max(1u, width) != width_) {
    stop_workers();
    width_ = std::max(1u, width);
  }
}

void ThreadPool::start_workers() {
  workers_.reserve(width_ - 1);
  for (std::uint32_t worker = 1; worker < width_; ++worker) {
    workers_.emplace_back([this, worker] { work(worker); });
  }
}

void ThreadPool::stop_workers() {
  stopping_.store(true);
  generation_.fetch_add(1);
  generation_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
  workers_.clear();
  stopping_.store(false);
}

void ThreadPool::run(std::uint32_t n_tasks, Task task, void* user) {
  if (n_tasks <= 1 || inside_task || width() == 1 || !owner_.try_lock()) {
    run_serially(n_tasks, task, user);
    return;
  }
  std::lock_guard owner(owner_, std::adopt_lock);
  if (workers_.empty()) {
    start_workers();
  }
  const std::uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  // Closed first: a late worker that still holds the last run's ticket and reads this run's fields must fail to claim.
  ticket_.store(std::uint64_t{generation} << 32 | closed, std::memory_order_relaxed);
  task_.store(task, std::memory_order_release);
  user_.store(user, std::memory_order_release);
  n_tasks_.store(n_tasks, std::memory_order_release);
  done_.store(0, std::memory_order_relaxed);
  ticket_.store(std::uint64_t{generation} << 32, std::memory_order_release);
  generation_.store(generation, std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_seq_cst) != 0) {
    generation_.notify_all();
  }
  take_tasks(generation, 0);
  while (done_.load(std::memory_order_acquire) != n_tasks) {
    pause();
  }
}

// Claims and runs tasks of this generation until none is left.
void ThreadPool::take_tasks(std::uint32_t generation, std::uint32_t worker) {
  std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (static_cast<std::uint32_t>(ticket >> 32) == generation) {
    const auto index = static_cast<std::uint32_t>(ticket);
    const Task task = task_.load(std::memory_order_acquire);
    void* const user = user_.load(std::memory_order_acquire);
    if (index >= n_tasks_.load(std::memory_order_acquire)) {
      break;
    }
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      continue;
    }
    inside_task = true;
    task(user, index, worker);
    inside_task = false;
    done_.fetch_add(1, std::memory_order_release);
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(std::uint32_t worker) {
  std::uint32_t seen = 0;
  for (;;) {
    seen = wait_for_other_than(seen);
    if (stopping_.load(std::memory_order_acquire)) {
      return;
    }
    take_tasks(seen, worker);
  }
}

std::uint32_t ThreadPool::wait_for_other_than(std::uint32_t generation) {
  const auto until = std::chrono::steady_clock::now() + spin_time;
  do {
    for (int poll = 0; poll < polls_between_clocks; ++poll) {
      if (const std::uint32_t now = generation_.load(std::memory_order_acquire); now != generation) {
        return now;
      }
      pause();
    }
  } while (std::chrono::steady_clock::now() < until);
  asleep_.fetch_add(1, std::memory_order_seq_cst);
  generation_.wait(generation, std::memory_order_seq_cst);
  asleep_.fetch_sub(1, std::memory_order_relaxed);
  return generation_.load(std::memory_order_acquire);
}

}  // namespace layerhub
