// SPDX-License-Identifier: Apache-2.0
// Streams as the loader keeps them: the workspace that calls on them have, and what waits until they have passed.
//
// A kernel's workspace is one arena per stream and thread: calls of one thread on one stream run one after the other,
// so that they may share it, whereas two threads may enqueue the steps of two calls interleaved. An arena is found in a
// list that only grows, without a lock.
#pragma once

#include "device/runtime.hpp"

#include <layerhub/stream.hpp>

#include <atomic>
#include <cstddef>
#include <functional>

namespace layerhub::device {

struct Arena {
  const void* thread;
  void* memory = nullptr;
  std::size_t size = 0;
  Arena* next = nullptr;
};

struct StreamState {
  StreamState(DeviceState& on, void* handle, bool is_owned);  // joins the device's list
  ~StreamState();
  StreamState(const StreamState&) = delete;

  DeviceState& device;
  void* const native;
  const bool owned;
  std::atomic<Arena*> arenas{nullptr};
};

struct EventState {
  EventState(DeviceState& on, void* handle) : device(on), native(handle) {}
  ~EventState();
  EventState(const EventState&) = delete;

  DeviceState& device;
  void* const native;
};

inline std::uint32_t ordinal_of(const DeviceState& device) { return static_cast<std::uint32_t>(device.device.ordinal); }

// Made at the first need, never destroyed. Throws Error.
StreamState& default_stream(DeviceState& device);

// The stream that the calling thread has put in use for the device; nullptr: none, take the default.
StreamState* chosen_stream(const DeviceState& device) noexcept;
// That one or the default. Throws as default_stream.
StreamState& stream_in_use(DeviceState& device);

// The calling thread's arena on the stream, at least so large; what it held is lost when it grows. [thread-safe]
std::int32_t workspace_on(StreamState& stream, std::size_t bytes, void** memory, lh_error* error) noexcept;

// Runs `then` when every stream of the device has passed what it was given so far: at once where they have, else from a
// later call of this or of pass_pending, in whichever thread that is. Never throws. [thread-safe]
void after_streams(DeviceState& device, std::function<void()> then) noexcept;

// Looks again at what waits. Returns how much still does. [thread-safe]
std::size_t pass_pending(DeviceState& device) noexcept;

}  // namespace layerhub::device
