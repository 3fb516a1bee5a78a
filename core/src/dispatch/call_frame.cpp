// SPDX-License-Identifier: Apache-2.0
#include "dispatch/call_frame.hpp"

#include "plugin/host_services.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace layerhub::dispatch {

constexpr std::size_t workspace_alignment = 64;

void prepare_frame(detail::CallFrame& frame) noexcept {
  std::memset(static_cast<void*>(&frame), 0, sizeof frame);
  frame.call.struct_size = sizeof frame.call;
  frame.call.mode = LH_MODE_INFERENCE;
  frame.call.device = {kDLCPU, 0};
  frame.call.host = &plugin::host_services();
  frame.call.in = frame.in;
  frame.call.out = frame.out;
  frame.call.scalars = frame.scalars;
  frame.error = {sizeof frame.error, 0, frame.text, sizeof frame.text, 0};
}

void release_frame(detail::CallFrame& frame) noexcept {
  std::free(frame.call.workspace);
  frame.call.workspace = nullptr;
  frame.call.workspace_size = 0;
}

bool grow_workspace(detail::CallFrame& frame, std::size_t bytes) noexcept {
  if (bytes <= frame.call.workspace_size) {
    return true;
  }
  // By half at least, so that a sequence of slightly larger layouts does not allocate each time.
  const std::size_t wanted = std::max(bytes, frame.call.workspace_size + frame.call.workspace_size / 2);
  const std::size_t size = (wanted + workspace_alignment - 1) / workspace_alignment * workspace_alignment;
  void* memory = std::aligned_alloc(workspace_alignment, size);
  if (memory == nullptr) {
    return false;
  }
  std::free(frame.call.workspace);
  frame.call.workspace = memory;
  frame.call.workspace_size = size;
  return true;
}

}  // namespace layerhub::dispatch
