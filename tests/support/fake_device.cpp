// SPDX-License-Identifier: Apache-2.0
// The fake device of fake_device.hpp. FAKE_DEVICE_TYPE: which type it plays, two ordinals of capability
// FAKE_CAPABILITY and FAKE_CAPABILITY + 10; FAKE_NO_DEVICES: none and a reason.
#include "support/fake_device.hpp"

#include <layerhub/sdk/call.hpp>
#include <layerhub/sdk/device_runtime.hpp>

#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace {

using layerhub::sdk::fail;
using layerhub::testing::FakeBuffer;
using layerhub::testing::FakeControl;
using layerhub::testing::FakeStream;

constexpr std::uint32_t n_devices = 2;

struct Event {
  struct Queue* queue = nullptr;
  bool done = false;
  double time = 0;
};

using SharedEvent = std::shared_ptr<Event>;  // a queue may know an event longer than its host does

struct Step {
  std::function<void()> run;
  SharedEvent waits_for = nullptr;
  std::function<void()> drop = [] {};
};

struct Queue : FakeStream {
  std::uint32_t ordinal = 0;
  std::deque<Step> steps;
};

struct Allocation {
  FakeBuffer buffer;
  std::size_t bytes;
};

struct FakeDevice {
  std::size_t limit = std::size_t{1} << 30, allocated = 0;
  bool faults = false, lost = false, has_events = true;
  double clock = 0;  // seconds; each step takes one millisecond
  std::set<Queue*> queues;
};

struct State {
  std::recursive_mutex mutex;
  std::array<FakeDevice, n_devices> devices;
  std::deque<FakeBuffer> handles;  // closer together than any buffer is large
};
State& state() {
  static State& instance = *new State;
  return instance;
}
thread_local std::uint32_t current_ordinal = 0;

FakeDevice& device_at(std::uint32_t ordinal) { return state().devices[ordinal]; }

std::int32_t check(std::uint32_t ordinal, lh_error* error) {
  if (ordinal >= n_devices) {
    return fail(error, LH_INVALID, "the fake has no such ordinal");
  }
  return device_at(ordinal).lost ? fail(error, LH_DEVICE_LOST, "the fake faulted") : std::int32_t{LH_OK};
}

// Runs steps, oldest first, until so many have run or one waits. Returns how many ran.
std::size_t run_steps(Queue& queue, std::size_t most, bool may_run_others) {
  FakeDevice& device = device_at(queue.ordinal);
  std::size_t ran = 0;
  while (ran < most && !queue.steps.empty() && !device.lost) {
    if (const SharedEvent event = queue.steps.front().waits_for; event != nullptr && !event->done) {
      if (!may_run_others) {
        break;
      }
      run_steps(*event->queue, SIZE_MAX, true);
      continue;
    }
    Step step = std::move(queue.steps.front());
    queue.steps.pop_front();
    if (std::exchange(device.faults, false)) {
      device.lost = true;
    } else if (step.run) {
      step.run();
    }
    step.drop();
    device.clock += 1e-3;
    ++ran;
  }
  return ran;
}

void enqueue(FakeStream* stream, void (*run)(void*), void (*drop)(void*), void* user) {
  std::lock_guard lock(state().mutex);
  static_cast<Queue*>(stream)->steps.push_back({[=] { run(user); }, nullptr, [=] { drop(user); }});
}

char* bytes_at(DLDevice device, const void* memory, std::size_t offset) {
#ifdef FAKE_HANDLES
  if (device.device_type != kDLCPU) {
    return static_cast<const FakeBuffer*>(memory)->bytes + offset;
  }
#endif
  (void)device;
  return static_cast<char*>(const_cast<void*>(memory)) + offset;
}

void release_now(std::uint32_t ordinal, void* memory) {
#ifdef FAKE_HANDLES
  auto* buffer = static_cast<FakeBuffer*>(memory);
  char* base = buffer->bytes - 64;
#else
  char* base = static_cast<char*>(memory) - 64;
#endif
  std::size_t bytes = 0;
  std::memcpy(&bytes, base, sizeof bytes);
  device_at(ordinal).allocated -= bytes;
  std::free(base);
}

const SharedEvent& shared(void* event) { return *static_cast<SharedEvent*>(event); }

Queue& queue_of(void* stream) { return *static_cast<Queue*>(static_cast<FakeStream*>(stream)); }

constexpr FakeControl control{[](FakeStream* stream) {
                                std::lock_guard lock(state().mutex);
                                return queue_of(stream).steps.size();
                              },
                              [](FakeStream* stream, std::size_t steps) {
                                std::lock_guard lock(state().mutex);
                                return run_steps(queue_of(stream), steps, false);
                              },
                              [](std::uint32_t ordinal) { device_at(ordinal).faults = true; },
                              [](std::uint32_t ordinal, std::size_t bytes) { device_at(ordinal).limit = bytes; },
                              [](std::uint32_t ordinal) { return device_at(ordinal).allocated; },
                              [] { return current_ordinal; },
                              [](std::uint32_t ordinal) { current_ordinal = ordinal; },
                              [](std::uint32_t ordinal, bool refused) { device_at(ordinal).has_events = !refused; }};

struct FakeRuntime {
  static std::int32_t count(std::uint32_t* out, [[maybe_unused]] lh_error* error) {
#ifdef FAKE_NO_DEVICES
    *out = 0;
    return fail(error, LH_OK, "no driver of the fake is installed");
#else
    *out = n_devices;
    return LH_OK;
#endif
  }

  static std::int32_t info(std::uint32_t ordinal, lh_device_info* out, lh_error* error) {
    if (const std::int32_t status = check(ordinal, error)) {
      return status;
    }
    const FakeDevice& device = device_at(ordinal);
    out->capability = FAKE_CAPABILITY + 10 * ordinal;
    out->device = {static_cast<DLDeviceType>(FAKE_DEVICE_TYPE), static_cast<std::int32_t>(ordinal)};
    out->total_memory = device.limit;
    out->free_memory = device.limit - device.allocated;
    out->name = layerhub::sdk::str(ordinal == 0 ? "fake 0" : "fake 1");
    out->driver = layerhub::sdk::str("1.0");
    return LH_OK;
  }

  static std::int32_t version(std::uint32_t* major, std::uint32_t* minor, lh_error*) {
    *major = FAKE_VERSION / 10;
    *minor = FAKE_VERSION % 10;
    return LH_OK;
  }

  static std::int32_t allocate(std::uint32_t ordinal, std::size_t bytes, void*, void** out, lh_error* error) {
    std::lock_guard lock(state().mutex);
    if (const std::int32_t status = check(ordinal, error)) {
      return status;
    }
    FakeDevice& device = device_at(ordinal);
    if (bytes > device.limit - device.allocated) {
      return fail(error, LH_OUT_OF_MEMORY,
                  "the fake has " + std::to_string(device.limit - device.allocated) + " bytes left");
    }
    device.allocated += bytes;
    auto* bytes_and_size = static_cast<char*>(std::malloc(bytes + 64));
    std::memcpy(bytes_and_size, &bytes, sizeof bytes);
    std::memset(bytes_and_size + 64, 0xcd, bytes);
#ifdef FAKE_HANDLES
    *out = &state().handles.emplace_back(FakeBuffer{bytes_and_size + 64});
#else
    *out = bytes_and_size + 64;
#endif
    return LH_OK;
  }

  static void release(std::uint32_t ordinal, void* memory, void* stream) {
    std::lock_guard lock(state().mutex);
    if (stream == nullptr) {
      release_now(ordinal, memory);
    } else {
      static_cast<Queue*>(static_cast<FakeStream*>(stream))->steps.push_back({[=] { release_now(ordinal, memory); }});
    }
  }

  static std::int32_t copy(DLDevice to, void* dst, std::size_t dst_offset, DLDevice from, const void* src,
                           std::size_t src_offset, std::size_t bytes, void* stream, lh_error* error) {
    std::lock_guard lock(state().mutex);
    Queue& queue = queue_of(stream);
    if (const std::int32_t status = check(queue.ordinal, error)) {
      return status;
    }
    queue.steps.push_back(
        {[=] { std::memmove(bytes_at(to, dst, dst_offset), bytes_at(from, src, src_offset), bytes); }});
    return LH_OK;
  }

  static std::int32_t fill(std::uint32_t ordinal, void* dst, std::size_t offset, std::uint8_t value, std::size_t bytes,
                           void* stream, lh_error* error) {
    std::lock_guard lock(state().mutex);
    const DLDevice here{static_cast<DLDeviceType>(FAKE_DEVICE_TYPE), static_cast<std::int32_t>(ordinal)};
    queue_of(stream).steps.push_back({[=] { std::memset(bytes_at(here, dst, offset), value, bytes); }});
    return check(ordinal, error);
  }

  static std::int32_t stream_create(std::uint32_t ordinal, void** out, lh_error* error) {
    std::lock_guard lock(state().mutex);
    if (const std::int32_t status = check(ordinal, error)) {
      return status;
    }
    auto* queue = new Queue{{&enqueue}, ordinal, {}};
    device_at(ordinal).queues.insert(queue);
    *out = static_cast<FakeStream*>(queue);
    return LH_OK;
  }

  // What it was given runs when a test says so, as everything here; the queue stays for that.
  static void stream_destroy(std::uint32_t ordinal, void* stream) {
    std::lock_guard lock(state().mutex);
    if (queue_of(stream).steps.empty()) {
      device_at(ordinal).queues.erase(&queue_of(stream));
      delete &queue_of(stream);
    }
  }

  static std::int32_t stream_synchronize(std::uint32_t ordinal, void* stream, lh_error* error) {
    std::lock_guard lock(state().mutex);
    run_steps(queue_of(stream), SIZE_MAX, true);
    return check(ordinal, error);
  }

  static std::int32_t stream_ordinal(void* stream, std::uint32_t* out, lh_error*) {
    *out = queue_of(stream).ordinal;
    return LH_OK;
  }

  static std::int32_t stream_wait_event(std::uint32_t ordinal, void* stream, void* event, lh_error* error) {
    std::lock_guard lock(state().mutex);
    queue_of(stream).steps.push_back({{}, shared(event)});
    return check(ordinal, error);
  }

  static std::int32_t event_record(std::uint32_t ordinal, void* stream, void** out, lh_error* error) {
    std::lock_guard lock(state().mutex);
    if (const std::int32_t status = check(ordinal, error)) {
      return status;
    }
    if (!device_at(ordinal).has_events) {
      return fail(error, LH_OUT_OF_MEMORY, "no memory for an event");
    }
    const auto event =
        std::make_shared<Event>(Event{&queue_of(stream), queue_of(stream).steps.empty(), device_at(ordinal).clock});
    if (!event->done) {
      queue_of(stream).steps.push_back({[=] {
        event->done = true;
        event->time = device_at(ordinal).clock;
      }});
    }
    *out = new SharedEvent(event);
    return LH_OK;
  }

  static std::int32_t event_query(std::uint32_t ordinal, void* event, std::uint32_t* done, lh_error* error) {
    std::lock_guard lock(state().mutex);
    *done = shared(event)->done ? 1 : 0;
    return check(ordinal, error);
  }

  static std::int32_t event_synchronize(std::uint32_t ordinal, void* event, lh_error* error) {
    std::lock_guard lock(state().mutex);
    const SharedEvent waited = shared(event);
    while (!waited->done && !device_at(ordinal).lost) {
      run_steps(*waited->queue, 1, true);
    }
    return check(ordinal, error);
  }

  static std::int32_t event_elapsed(std::uint32_t, void* first, void* second, double* seconds, lh_error*) {
    *seconds = shared(second)->time - shared(first)->time;
    return LH_OK;
  }

  static void event_destroy(std::uint32_t, void* event) {
    std::lock_guard lock(state().mutex);
    delete static_cast<SharedEvent*>(event);
  }

  static std::int32_t current(std::uint32_t* ordinal, lh_error*) {
    *ordinal = current_ordinal;
    return LH_OK;
  }

  static std::int32_t set_current(std::uint32_t ordinal, lh_error*) {
    current_ordinal = ordinal;
    return LH_OK;
  }

  static std::int32_t last_error(std::uint32_t ordinal, lh_error* error) { return check(ordinal, error); }

  static std::int32_t native(std::uint32_t, const char* what, void** out, lh_error* error) {
    if (std::strcmp(what, "fake.control") != 0) {
      return fail(error, LH_UNSUPPORTED, "the fake has no such thing");
    }
    *out = const_cast<FakeControl*>(&control);
    return LH_OK;
  }
};
LAYERHUB_DEVICE_RUNTIME(static_cast<DLDeviceType>(FAKE_DEVICE_TYPE), FakeRuntime);

}  // namespace
