// SPDX-License-Identifier: Apache-2.0
#include "dispatch/epoch.hpp"

#include "base/log.hpp"
#include "base/reason.hpp"
#include "dispatch/call_frame.hpp"

#include <layerhub/detail/slot.hpp>

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace layerhub {

namespace detail {
namespace {
ThreadRecord unattached{.sequence = 1, .scope = 0, .frame = {}};  // odd: nobody enters it
}
__thread ThreadRecord* this_thread __attribute__((tls_model("initial-exec"))) = &unattached;
}  // namespace detail

namespace dispatch {
namespace {

using detail::ThreadRecord;

struct Waiting {
  ThreadRecord* thread;
  std::uint64_t sequence;  // odd, as it was when the object was retired
};
struct Retired {
  std::vector<Waiting> waiting;
  std::function<void()> destroy;
};

struct Epoch {
  std::mutex mutex;                    // guards everything below
  std::vector<ThreadRecord*> threads;  // every record that was ever made
  std::vector<ThreadRecord*> free;     // those whose thread has ended
  std::vector<Retired> limbo;
  bool barrier_works = false;
  bool said_so = false;
};

// Never destroyed: a thread may end, or a layer die, after main has returned.
Epoch& epoch() {
  static Epoch& instance = *new Epoch;
  return instance;
}

bool forked_child = false;

int membarrier(int command) { return static_cast<int>(syscall(SYS_membarrier, command, 0, 0)); }

// After a fork the child has one thread, and its pool's workers are gone.
void refuse_in_child() {
  detail::this_thread = &detail::unattached;
  forked_child = true;
}

void free_record(void* record) {
  auto* thread = static_cast<ThreadRecord*>(record);
  std::lock_guard lock(epoch().mutex);
  release_frame(thread->frame);
  thread->scope = 0;
  epoch().free.push_back(thread);
}

pthread_key_t start_once() {
  static const pthread_key_t key = [] {
    pthread_key_t made;
    pthread_key_create(&made, &free_record);  // 1024 keys a process; without one a record is merely not reused
    pthread_atfork(nullptr, nullptr, &refuse_in_child);
#if defined(__SANITIZE_THREAD__)
    epoch().barrier_works = true;  // the pin itself is sequentially consistent there
#else
    epoch().barrier_works = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
#endif
    return made;
  }();
  return key;
}

bool barrier() {
#if defined(__SANITIZE_THREAD__)
  return true;
#else
  return epoch().barrier_works && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
#endif
}

std::uint64_t sequence_of(const ThreadRecord& thread) {
#if defined(__SANITIZE_THREAD__)
  return const_cast<ThreadRecord&>(thread).sequence.fetch_add(0, std::memory_order_seq_cst);
#else
  return thread.sequence.load(std::memory_order_acquire);
#endif
}

// With the lock held: takes out what is free.
std::vector<Retired> take_free(Epoch& state) {
  for (Retired& retired : state.limbo) {
    std::erase_if(retired.waiting, [](const Waiting& w) { return sequence_of(*w.thread) != w.sequence; });
  }
  const auto first_free = std::stable_partition(state.limbo.begin(), state.limbo.end(),
                                                [](const Retired& retired) { return !retired.waiting.empty(); });
  std::vector<Retired> freed(std::make_move_iterator(first_free), std::make_move_iterator(state.limbo.end()));
  state.limbo.erase(first_free, state.limbo.end());
  return freed;
}

}  // namespace

void retire(std::function<void()> destroy) {
  start_once();
  std::vector<Retired> freed;
  {
    Epoch& state = epoch();
    std::lock_guard lock(state.mutex);
    if (!barrier()) {
      if (!std::exchange(state.said_so, true)) {
        log(LogLevel::warn, "this system refuses membarrier(2): replaced kernels are kept until the process ends");
      }
      return;
    }
    Retired retired{{}, std::move(destroy)};
    for (ThreadRecord* thread : state.threads) {
      if (const std::uint64_t now = sequence_of(*thread); (now & 1u) != 0) {
        retired.waiting.push_back({thread, now});
      }
    }
    state.limbo.push_back(std::move(retired));
    freed = take_free(state);
  }
  for (Retired& retired : freed) {
    retired.destroy();  // the plugin's code runs: without the lock
  }
}

bool is_attached() noexcept { return detail::this_thread != &detail::unattached; }

std::size_t collect() {
  std::vector<Retired> freed;
  std::size_t left;
  {
    std::lock_guard lock(epoch().mutex);
    freed = take_free(epoch());
    left = epoch().limbo.size();
  }
  for (Retired& retired : freed) {
    retired.destroy();
  }
  return left;
}

}  // namespace dispatch

namespace detail {

ThreadRecord& attached_thread() {
  if (this_thread != &unattached) {
    return *this_thread;
  }
  const pthread_key_t key = dispatch::start_once();
  if (dispatch::forked_child) {
    throw Error(
        make_reason(ErrorCode::unsupported, "fork",
                    "layerhub: this process was forked from one that had used it, so the threads that its kernels "
                    "run on are gone; call exec in the child, or start layerhub after the fork"));
  }
  dispatch::Epoch& state = dispatch::epoch();
  std::lock_guard lock(state.mutex);
  ThreadRecord* record;
  if (state.free.empty()) {
    state.threads.reserve(state.threads.size() + 1);
    record = new ThreadRecord;
    state.threads.push_back(record);
  } else {
    record = state.free.back();
    state.free.pop_back();
  }
  dispatch::prepare_frame(record->frame);
  pthread_setspecific(key, record);
  this_thread = record;
  return *record;
}

}  // namespace detail
}  // namespace layerhub
