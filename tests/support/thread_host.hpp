// SPDX-License-Identifier: Apache-2.0
// A host with nothing but "lh.parallel/1" on as many threads as the test says. Threads are started for each
// run: slow, and so in another order each time, with indices handed out to whoever comes first. Their stacks are as
// small as a host may make them.
#pragma once

#include <layerhub/abi/parallel.h>

#include <cstdint>
#include <functional>

namespace layerhub::testing {

class ThreadHost {
 public:
  // One for the whole program: a plugin keeps what it asked of its host, and a plugin has one host.
  static ThreadHost& instance();

  // Between calls only.
  void set_width(std::uint32_t width) { width_ = width; }
  const lh_host* host() const { return &host_; }
  // Runs body, which must not throw, on a thread with the least stack that the ABI promises a kernel.
  static void on_small_stack(std::function<void()> body);

 private:
  ThreadHost();
  void run(std::uint32_t n_tasks, void (*task)(void*, std::uint32_t, std::uint32_t), void* user) const;

  std::uint32_t width_ = 1;
  lh_host host_{};
};

}  // namespace layerhub::testing
