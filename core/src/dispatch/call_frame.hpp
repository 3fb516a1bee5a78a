// SPDX-License-Identifier: Apache-2.0
// The life of a call frame: what all calls of it share is filled in once, its workspace grows and is given back.
#pragma once

#include <layerhub/detail/slot.hpp>

#include <cstddef>
#include <optional>

namespace layerhub::dispatch {

void prepare_frame(detail::CallFrame& frame) noexcept;
void release_frame(detail::CallFrame& frame) noexcept;

// At least so many bytes of workspace, 64-byte aligned; what it held is lost when it grows. false: out of memory.
bool grow_workspace(detail::CallFrame& frame, std::size_t bytes) noexcept;

// A frame to call with, and until it is destroyed no binding that this thread can find is given back: the thread's own
// frame, or one on the stack for a call inside a call, since a host's own runner may work on other things while it
// waits.
class FrameLease {
 public:
  explicit FrameLease(detail::ThreadRecord& thread) noexcept : thread_(thread), entered_(thread.enter()) {
    if (!entered_) {
      prepare_frame(nested_.emplace());
    }
  }
  FrameLease(const FrameLease&) = delete;
  ~FrameLease() {
    if (entered_) {
      thread_.leave();
    } else {
      release_frame(*nested_);
    }
  }
  detail::CallFrame& frame() noexcept { return entered_ ? thread_.frame : *nested_; }

 private:
  detail::ThreadRecord& thread_;
  const bool entered_;
  std::optional<detail::CallFrame> nested_;
};

}  // namespace layerhub::dispatch
