// SPDX-License-Identifier: Apache-2.0
// One block: its threads are fibers of one thread of the host, which runs each until it waits or ends.
//
// So threads run one after the other between two barriers, and the order changes from one stretch to the next: forward,
// backward, strided. What one thread writes and another reads without a barrier between them is then seen too early
// or too late, and the results of two runs differ.
#pragma once

#include "launch.hpp"
#include "meeting.hpp"

#include <boost/context/fiber.hpp>

#include <memory>
#include <string>
#include <vector>

namespace layerhub::gpu_emulator {

std::string text_of(const char* file, unsigned line);  // "gated.gpu.cu:57"

class Block {
 public:
  // seed: of the orders.
  Block(const Launch& launch, unsigned seed);

  // Runs all threads of the block; false after an error of the kernel.
  bool run(uint3 index);
  const std::string& error() const { return error_; }

  // For the thread that runs.
  void sync_threads(Place place);
  void meet(std::uint64_t mask, void* brings, Perform perform, Place place);
  unsigned lane() const { return running_ % launch_.warp; }
  const Launch& launch() const { return launch_; }
  [[noreturn]] void fail(const std::string& text);

 private:
  // A fiber that runs one thread after the other as long as they do not wait.
  struct Worker {
    boost::context::fiber self;
  };
  enum class State : std::uint8_t { fresh, ready, at_barrier, at_meeting, ended };
  struct Thread {
    State state = State::fresh;
    Worker* worker = nullptr;
    Place place{};
    std::uint64_t mask = 0;
    void* brings = nullptr;
  };

  static std::vector<Worker*>& idle_workers();  // without a thread, for this block or a later one
  Worker* take_worker();
  void resume(unsigned thread);
  void run_threads();  // what a worker does, from when it is taken until it is idle again
  void select(unsigned thread);
  void wait(State state, Place place);
  bool sweep();
  void new_order();
  unsigned ordered(unsigned position) const { return (position * stride_ + offset_) % count_; }
  bool release_barrier();
  bool perform_if_complete(Perform perform);
  std::string standstill() const;
  std::string describe(unsigned thread) const;

  const Launch& launch_;
  const unsigned count_;
  std::vector<Thread> threads_;
  std::vector<unsigned> lanes_waiting_;  // per warp: how many are at a meeting
  unsigned at_barrier_ = 0, ended_ = 0;
  unsigned running_ = 0, position_ = 0, stride_ = 1, offset_ = 0, seed_;
  boost::context::fiber scheduler_;  // the context that runs the block, while a worker runs
  static Block* of_worker_;          // the block that a worker works for when it is resumed
  std::string error_;
};

}  // namespace layerhub::gpu_emulator
