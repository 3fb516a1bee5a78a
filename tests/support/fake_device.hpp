// SPDX-License-Identifier: Apache-2.0
// A device without hardware, for tests: its streams are queues that run only when they are told, so that order, late
// completion, faults and exhausted memory happen when a test says so.
//
// fake_device.cpp is built as a device plugin for each type (fakes.cmake). Kernels for it get a FakeStream as
// lh_call.stream and put steps into it; tests get the FakeControl by native_handle(device, "fake.control"). Waiting for
// a stream or an event runs what it waits for; asking whether an event is done does not.
#pragma once

#include <cstddef>
#include <cstdint>

namespace layerhub::testing {

struct FakeStream {
  // Puts a step into the queue: run(user), and drop(user) when it has run or never will.
  void (*enqueue)(FakeStream*, void (*run)(void* user), void (*drop)(void* user), void* user);
};

// Memory where the type names buffers by handles: DLTensor.data points to one of these.
struct FakeBuffer {
  char* bytes;
};

struct FakeControl {
  std::size_t (*waiting)(FakeStream*);                 // steps that have not run
  std::size_t (*run)(FakeStream*, std::size_t steps);  // so many of them, or until an event is waited for
  void (*fault)(std::uint32_t ordinal);                // the next step of this device faults
  void (*limit_memory)(std::uint32_t ordinal, std::size_t bytes);
  std::size_t (*allocated)(std::uint32_t ordinal);  // bytes that are not released
  std::uint32_t (*current)();                       // of the calling thread
  void (*set_current)(std::uint32_t ordinal);
  void (*refuse_events)(std::uint32_t ordinal, bool refused);  // as a driver does that has no memory for another
};

}  // namespace layerhub::testing
