// SPDX-License-Identifier: Apache-2.0
// Fork and join of a few threads, in well under a microsecond while they are awake.
//
// A run publishes one ticket: a generation and the index of the next task. Every taker, the caller first of all, claims
// an index by compare-and-swap; a worker that comes late claims nothing and nobody waits for it, only for claimed
// tasks. That bounds the tails on a machine with other work: a pool that hands each worker its share waits for the
// slowest to be scheduled. After its last task a worker spins for 2 ms, longer than a layer takes, and then sleeps on a
// futex; but for the first 0.2 ms of that it gives way to any thread that wants its processor.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace layerhub {

class ThreadPool {
 public:
  using Task = void (*)(void* user, std::uint32_t index, std::uint32_t worker);

  // The caller of run() is one of `width` threads; width - 1 are started with the first run. At least 1.
  explicit ThreadPool(std::uint32_t width);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::uint32_t width() const noexcept { return width_.load(std::memory_order_relaxed); }
  // Waits for a run in flight. [thread-safe]
  void resize(std::uint32_t width);

  // Runs task(user, index, worker) for each index < n_tasks, worker < width(). Serial in the caller, as worker 0,
  // inside a task and while another thread has the pool. [thread-safe]
  void run(std::uint32_t n_tasks, Task task, void* user);

 private:
  void start_workers();
  void stop_workers();
  void work(std::uint32_t worker);
  template <class Done>
  void take_tasks(std::uint32_t generation, std::uint32_t worker, Done&& done);
  std::uint32_t wait_for_other_than(std::uint32_t generation);

  std::mutex owner_;  // held by the one run that has the pool
  std::atomic<std::uint32_t> width_;
  std::vector<std::thread> workers_;

  // What a run hands over, in one line of the cache: a worker that waits has all of it when it sees the generation. The
  // fields of the current generation are atomic, since a late worker may read them while the next run is published; its
  // claim fails then.
  alignas(64) std::atomic<std::uint64_t> ticket_{0};  // generation << 32 | next index
  std::atomic<Task> task_{nullptr};
  std::atomic<void*> user_{nullptr};
  std::atomic<std::uint32_t> n_tasks_{0};
  std::atomic<std::uint32_t> generation_{0};  // what sleepers wait on; changes last

  alignas(64) std::atomic<std::uint32_t> done_{0};  // tasks that workers have done in all runs; callers only read it
  alignas(64) std::atomic<std::uint32_t> asleep_{0};
  std::atomic<bool> stopping_{false};
};

// How many processors this process may use: its affinity mask's.
std::uint32_t usable_processors() noexcept;

}  // namespace layerhub
