// SPDX-License-Identifier: Apache-2.0
#include "block.hpp"

#include <boost/context/protected_fixedsize_stack.hpp>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <tuple>
#include <utility>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace layerhub::gpu_emulator {
namespace {

constexpr std::size_t stack_bytes = 128 * 1024;

bool same_place(const Place& a, const Place& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

const char* without_folders(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

std::string text_of(const Place& place) { return gpu_emulator::text_of(place.file_name(), place.line()); }

}  // namespace

std::string text_of(const char* file, unsigned line) {
  return std::string(without_folders(file)) + ":" + std::to_string(line);
}

Block::Block(const Launch& launch, unsigned seed)
    : launch_(launch),
      count_(launch.block.x * launch.block.y * launch.block.z),
      threads_(count_),
      lanes_waiting_((count_ + launch.warp - 1) / launch.warp),
      seed_(seed) {}

bool Block::run(uint3 index) {
  blockIdx = index;
  std::fill(threads_.begin(), threads_.end(), Thread{});
  ended_ = 0;
  new_order();
  while (ended_ != count_) {
    const bool ran = sweep();
    if (error_.empty() && !ran && !release_barrier()) {
      error_ = standstill();
    }
    if (!error_.empty()) {
      return false;
    }
  }
  return true;
}

// Gives every thread that can go on a turn; false where none could.
bool Block::sweep() {
  bool ran = false;
  position_ = 0;
  while (position_ < count_ && error_.empty()) {
    const unsigned thread = ordered(position_++);
    if (threads_[thread].state <= State::ready) {
      ran = true;
      resume(thread);
    }
  }
  return ran;
}

// The next of: forward, backward, every 7th or so.
void Block::new_order() {
  seed_ = seed_ * 1664525u + 1013904223u;
  const unsigned choice = seed_ >> 30;
  stride_ = choice == 0 ? 1 : choice == 1 ? count_ - 1 : 5 + 2 * ((seed_ >> 20) % 8);
  while (std::gcd(stride_, count_) != 1) {
    ++stride_;
  }
  offset_ = choice == 0 ? 0 : choice == 1 ? count_ - 1 : (seed_ >> 8) % count_;
}

bool Block::release_barrier() {
  if (at_barrier_ != count_) {
    return false;
  }
  for (const Thread& thread : threads_) {
    if (!same_place(thread.place, threads_[0].place)) {
      return false;
    }
  }
  for (Thread& thread : threads_) {
    thread.state = State::ready;
  }
  at_barrier_ = 0;
  new_order();
  return true;
}

// ---- Workers ----

Block* Block::of_worker_ = nullptr;

std::vector<Block::Worker*>& Block::idle_workers() {
  static std::vector<Worker*>& workers = *new std::vector<Worker*>;  // their stacks are never unwound
  return workers;
}

Block::Worker* Block::take_worker() {
  std::vector<Worker*>& idle = idle_workers();
  if (idle.empty()) {
    const auto live = [](boost::context::fiber&& back) {
      of_worker_->scheduler_ = std::move(back);
      for (;;) {
        of_worker_->run_threads();
      }
      return boost::context::fiber{};
    };
    boost::context::protected_fixedsize_stack stack(stack_bytes);
    return new Worker{boost::context::fiber(std::allocator_arg, stack, live)};
  }
  Worker* const worker = idle.back();
  idle.pop_back();
  return worker;
}

void Block::resume(unsigned thread) {
  Thread& resumed = threads_[thread];
  if (resumed.state == State::fresh) {
    resumed.worker = take_worker();
  }
  of_worker_ = this;
  select(thread);
  Worker& worker = *resumed.worker;
  worker.self = std::move(worker.self).resume();
}

// Runs the selected thread, then whichever fresh ones are next in the order; goes back to the scheduler with no thread.
void Block::run_threads() {
  Worker* const self = threads_[running_].worker;
  for (;;) {
    launch_.body();
    Thread& done = threads_[running_];
    done.state = State::ended;
    ++ended_;
    if (position_ == count_ || threads_[ordered(position_)].state != State::fresh) {
      break;
    }
    const unsigned next = ordered(position_++);
    threads_[next].worker = self;
    select(next);
  }
  idle_workers().push_back(self);
  boost::context::fiber back = std::move(scheduler_).resume();  // returns for a thread of another block, perhaps
  of_worker_->scheduler_ = std::move(back);
}

void Block::select(unsigned thread) {
  running_ = thread;
  const dim3& size = launch_.block;
  threadIdx = {thread % size.x, thread / size.x % size.y, thread / (size.x * size.y)};
}

void Block::wait(State state, Place place) {
  Thread& thread = threads_[running_];
  thread.state = state;
  thread.place = place;
  scheduler_ = std::move(scheduler_).resume();
}

void Block::fail(const std::string& text) {
  error_ = "thread " + describe(running_) + ": " + text;
  // The stack of this worker can't be unwound from here: nobody resumes or destroys it any more.
  std::ignore = std::move(scheduler_).resume();
  std::abort();
}

// ---- What threads wait for ----

void Block::sync_threads(Place place) {
  ++at_barrier_;
  wait(State::at_barrier, place);
}

void Block::meet(std::uint64_t mask, void* brings, Perform perform, Place place) {
  const unsigned warp = running_ / launch_.warp;
  const unsigned lanes = std::min(launch_.warp, count_ - warp * launch_.warp);
  mask &= lanes == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << lanes) - 1;
  Thread& self = threads_[running_];
  self.mask = mask;
  self.brings = brings;
  self.place = place;
  ++lanes_waiting_[warp];
  self.state = State::at_meeting;
  if ((mask >> lane() & 1) == 0) {
    fail("its mask leaves itself out at " + text_of(place));
  }
  if (lanes_waiting_[warp] < static_cast<unsigned>(std::popcount(mask)) || !perform_if_complete(perform)) {
    wait(State::at_meeting, place);
  }
}

// The thread that runs is the last of its meeting: does what it is for, and all go on. False where others are missing.
bool Block::perform_if_complete(Perform perform) {
  Thread& self = threads_[running_];
  const unsigned warp = running_ / launch_.warp;
  Thread* const first = &threads_[warp * launch_.warp];
  void* brought[64] = {};
  for (unsigned lane = 0; lane < launch_.warp; ++lane) {
    if ((self.mask >> lane & 1) != 0) {
      if (first[lane].state != State::at_meeting || first[lane].mask != self.mask ||
          !same_place(first[lane].place, self.place)) {
        return false;
      }
      brought[lane] = first[lane].brings;
    }
  }
  perform(brought, launch_.warp);
  for (unsigned lane = 0; lane < launch_.warp; ++lane) {
    if (brought[lane] != nullptr) {
      first[lane].state = State::ready;
      --lanes_waiting_[warp];
    }
  }
  return true;
}

// ---- Why nobody can go on ----

std::string Block::describe(unsigned thread) const {
  const dim3& size = launch_.block;
  const auto text = [](unsigned x, unsigned y, unsigned z) {
    return "(" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")";
  };
  return text(thread % size.x, thread / size.x % size.y, thread / (size.x * size.y)) + " of block " +
         text(blockIdx.x, blockIdx.y, blockIdx.z);
}

std::string Block::standstill() const {
  const auto where = [&](unsigned thread) {
    const Thread& t = threads_[thread];
    return t.state == State::ended        ? std::string("has ended")
           : t.state == State::at_barrier ? "waits for the block at " + text_of(t.place)
                                          : "waits for its warp at " + text_of(t.place);
  };
  unsigned waiting = 0;
  while (threads_[waiting].state == State::ended) {
    ++waiting;
  }
  unsigned other = 0;
  while (other + 1 < count_ && where(other) == where(waiting)) {
    ++other;
  }
  return "thread " + describe(waiting) + " " + where(waiting) + ", but thread " + describe(other) + " " + where(other) +
         "; all must come to the same place";
}

}  // namespace layerhub::gpu_emulator
