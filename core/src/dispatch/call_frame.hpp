// SPDX-License-Identifier: Apache-2.0
// The life of a call frame: what all calls of it share is filled in once, its workspace grows and is given back.
#pragma once

#include <layerhub/detail/slot.hpp>

#include <cstddef>

namespace layerhub::dispatch {

void prepare_frame(detail::CallFrame& frame) noexcept;
void release_frame(detail::CallFrame& frame) noexcept;

// At least so many bytes of workspace, 64-byte aligned; what it held is lost when it grows. false: out of memory.
bool grow_workspace(detail::CallFrame& frame, std::size_t bytes) noexcept;

// A frame on the stack, for a call inside a call: a host's own runner may work on other things while it waits.
struct NestedFrame : detail::CallFrame {
  NestedFrame() noexcept { prepare_frame(*this); }
  NestedFrame(const NestedFrame&) = delete;
  ~NestedFrame() { release_frame(*this); }
};

}  // namespace layerhub::dispatch
