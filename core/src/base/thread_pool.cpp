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

// Between two polls of a flag that another thread will set. Whoever hands over does so within microseconds, so the
// first polls cost as little as can be; later ones offer the processor to whoever else wants it, which is what a host
// whose own threads fill the machine is owed.
class Polling {
 public:
  void wait() noexcept {
    if (++polls_ < eager_polls) {
      pause();
    } else {
      ::sched_yield();
    }
  }
  // Clocks are looked at now and then.
  bool is_longer_than(std::chrono::steady_clock::duration time) noexcept {
    return polls_ % polls_between_clocks == 0 && std::chrono::steady_clock::now() - since_ > time;
  }

 private:
  static constexpr std::uint32_t eager_polls = 4096, polls_between_clocks = 256;  // of some 40 ns each

  std::uint32_t polls_ = 0;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

// Longer than what a host does between two layers or two tokens, shorter than anybody would notice on an idle machine.
constexpr auto spin_time = std::chrono::milliseconds(2);
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

// Claims and runs tasks of this generation until none is left; done() after each.
template <class Done>
void ThreadPool::take_tasks(std::uint32_t generation, std::uint32_t worker, Done&& done) {
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
    done();
    ticket = ticket_.load(std::memory_order_acquire);
  }
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
  const std::uint32_t done_before = done_.load(std::memory_order_relaxed);
  ticket_.store(std::uint64_t{generation} << 32, std::memory_order_release);
  generation_.store(generation, std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_seq_cst) != 0) {
    generation_.notify_all();
  }
  std::uint32_t by_workers = n_tasks;
  take_tasks(generation, 0, [&] { --by_workers; });
  for (Polling polling; done_.load(std::memory_order_acquire) - done_before != by_workers;) {
    polling.wait();
  }
}

void ThreadPool::work(std::uint32_t worker) {
  std::uint32_t seen = 0;
  for (;;) {
    seen = wait_for_other_than(seen);
    if (stopping_.load(std::memory_order_acquire)) {
      return;
    }
    take_tasks(seen, worker, [this] { done_.fetch_add(1, std::memory_order_release); });
  }
}

std::uint32_t ThreadPool::wait_for_other_than(std::uint32_t generation) {
  for (Polling polling; !polling.is_longer_than(spin_time); polling.wait()) {
    if (const std::uint32_t now = generation_.load(std::memory_order_acquire); now != generation) {
      return now;
    }
  }
  asleep_.fetch_add(1, std::memory_order_seq_cst);
  generation_.wait(generation, std::memory_order_seq_cst);
  asleep_.fetch_sub(1, std::memory_order_relaxed);
  return generation_.load(std::memory_order_acquire);
}

}  // namespace layerhub
