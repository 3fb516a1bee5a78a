// SPDX-License-Identifier: Apache-2.0
#include "device/streams.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace layerhub::device {
namespace {

bool is_done(const DeviceState& device, void* event) {
  plugin::ErrorText text;
  std::uint32_t done = 0;
  // Of a lost device nothing runs any more, so nothing is to be waited for.
  return device.runtime.table().event_query(ordinal_of(device), event, &done, &text.error) != LH_OK || done != 0;
}

void drop_done(const DeviceState& device, std::vector<void*>& events) {
  std::erase_if(events, [&](void* event) {
    const bool done = is_done(device, event);
    if (done) {
      device.runtime.table().event_destroy(ordinal_of(device), event);
    }
    return done;
  });
}

// An event behind all that the stream was given; none where the device is lost. Where the driver has none to give, this
// waits for the stream: better than memory that goes back under running work.
void add_event(const DeviceState& device, void* stream, std::vector<void*>& events) {
  plugin::ErrorText text;
  void* event = nullptr;
  const std::int32_t status = device.runtime.table().event_record(ordinal_of(device), stream, &event, &text.error);
  if (status == LH_OK) {
    events.push_back(event);
  } else if (status != LH_DEVICE_LOST) {
    device.runtime.table().stream_synchronize(ordinal_of(device), stream, &text.error);
  }
}

// What became free, taken out of the list: it is run without the lock, since it calls into plugins. In order: what came
// later waits for all that came before, also for streams that have gone since.
std::vector<std::function<void()>> take_passed(DeviceState& device) {
  std::vector<std::function<void()>> passed;
  for (; !device.pending.empty(); device.pending.pop_front()) {
    Pending& first = device.pending.front();
    drop_done(device, first.events);
    if (!first.events.empty()) {
      break;
    }
    passed.push_back(std::move(first.then));
  }
  return passed;
}

Arena* arena_of(StreamState& stream) {
  static thread_local const char thread_identity =
      0;  // its address; a later thread may have it again, when this is gone
  for (Arena* arena = stream.arenas.load(std::memory_order_acquire); arena != nullptr; arena = arena->next) {
    if (arena->thread == &thread_identity) {
      return arena;
    }
  }
  auto* arena = new (std::nothrow) Arena{&thread_identity};
  if (arena != nullptr) {
    arena->next = stream.arenas.load(std::memory_order_relaxed);
    while (!stream.arenas.compare_exchange_weak(arena->next, arena, std::memory_order_release,
                                                std::memory_order_relaxed)) {
    }
  }
  return arena;
}

}  // namespace

StreamState::StreamState(DeviceState& on, void* handle, bool is_owned) : device(on), native(handle), owned(is_owned) {
  std::lock_guard lock(on.mutex);
  on.streams.push_back(this);
}

StreamState::~StreamState() {
  const lh_device_1& table = device.runtime.table();
  const std::uint32_t ordinal = ordinal_of(device);
  {
    std::lock_guard lock(device.mutex);
    std::erase(device.streams, this);
    add_event(device, native, device.left_behind);
  }
  for (Arena* arena = arenas.load(); arena != nullptr;) {
    if (arena->memory != nullptr) {
      table.release(ordinal, arena->memory, native);
    }
    delete std::exchange(arena, arena->next);
  }
  if (owned) {
    table.stream_destroy(ordinal, native);
  }
}

EventState::~EventState() { device.runtime.table().event_destroy(ordinal_of(device), native); }

StreamState& default_stream(DeviceState& device) {
  if (StreamState* stream = device.default_stream.load(std::memory_order_acquire)) {
    return *stream;
  }
  void* native = nullptr;
  ask(device, "making its default stream", [&](const lh_device_1& table, lh_error* error) {
    return table.stream_create(ordinal_of(device), &native, error);
  });
  auto made = std::make_unique<StreamState>(device, native, true);
  StreamState* none = nullptr;
  return device.default_stream.compare_exchange_strong(none, made.get()) ? *made.release() : *none;
}

std::int32_t workspace_on(StreamState& stream, std::size_t bytes, void** memory, lh_error* error) noexcept {
  Arena* arena = arena_of(stream);
  if (arena == nullptr) {
    return LH_OUT_OF_MEMORY;
  }
  if (bytes > arena->size) {
    const lh_device_1& table = stream.device.runtime.table();
    const std::uint32_t ordinal = ordinal_of(stream.device);
    const std::size_t more = std::max(bytes, arena->size + arena->size / 2);
    if (arena->memory != nullptr) {
      table.release(ordinal, arena->memory, stream.native);
    }
    arena->memory = nullptr;
    arena->size = 0;
    for (const std::size_t size : {more, bytes}) {  // where there is no room to grow ahead, what is needed may fit
      const std::int32_t status = table.allocate(ordinal, size, stream.native, &arena->memory, error);
      if (status == LH_OK) {
        arena->size = size;
        break;
      }
      arena->memory = nullptr;
      if (status != LH_OUT_OF_MEMORY || size == bytes) {
        return status;
      }
      error->length = 0;
    }
  }
  *memory = arena->memory;
  return LH_OK;
}

void after_streams(DeviceState& device, std::function<void()> then) noexcept {
  std::vector<std::function<void()>> passed;
  {
    std::lock_guard lock(device.mutex);
    Pending pending{{}, std::move(then)};
    for (const StreamState* stream : device.streams) {
      add_event(device, stream->native, pending.events);
    }
    drop_done(device, device.left_behind);
    if (!device.left_behind.empty()) {  // seldom: a stream went away with work on it; what comes after waits with this
      std::move(device.left_behind.begin(), device.left_behind.end(), std::back_inserter(pending.events));
      device.left_behind.clear();
    }
    device.pending.push_back(std::move(pending));
    passed = take_passed(device);
  }
  for (const std::function<void()>& run : passed) {
    run();
  }
}

std::size_t pass_pending(DeviceState& device) noexcept {
  std::vector<std::function<void()>> passed;
  std::size_t waiting = 0;
  {
    std::lock_guard lock(device.mutex);
    passed = take_passed(device);
    waiting = device.pending.size();
  }
  for (const std::function<void()>& run : passed) {
    run();
  }
  return waiting;
}

}  // namespace layerhub::device
