// SPDX-License-Identifier: Apache-2.0
#include "support/thread_host.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <stdexcept>

#include <pthread.h>

namespace layerhub::testing {
namespace {

thread_local bool inside_a_run = false;

// A thread with the least stack that abi/parallel.h promises. Joined at its end.
class SmallThread {
 public:
  explicit SmallThread(std::function<void()> body) : body_(std::move(body)) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    const auto run = [](void* self) -> void* {
      static_cast<SmallThread*>(self)->body_();
      return nullptr;
    };
    const int error = pthread_create(&thread_, &attributes, run, this);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
      throw std::runtime_error(std::strerror(error));
    }
  }
  SmallThread(const SmallThread&) = delete;
  SmallThread& operator=(const SmallThread&) = delete;
  ~SmallThread() { pthread_join(thread_, nullptr); }

 private:
  std::function<void()> body_;
  pthread_t thread_{};
};

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

void ThreadHost::on_small_stack(std::function<void()> body) { SmallThread thread(std::move(body)); }

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
  std::deque<SmallThread> others;
  for (std::uint32_t worker = 1; !nested && worker < std::min(width_, n_tasks); ++worker) {
    others.emplace_back([&work, worker] { work(worker); });
  }
  work(0);
}

}  // namespace layerhub::testing
