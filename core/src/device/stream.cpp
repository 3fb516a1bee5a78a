// SPDX-License-Identifier: Apache-2.0
// Streams and events as hosts see them.
#include <layerhub/stream.hpp>

#include "device/device_table.hpp"
#include "device/streams.hpp"

#include <layerhub/error.hpp>

#include <fmt/format.h>

namespace layerhub {
namespace device {
namespace {

// A pointer, so that it outlives what a thread keeps until it ends, scopes included.
thread_local ChosenStream* innermost = nullptr;

DeviceState& device_with_streams(Device device) {
  if (device.type == kDLCPU) {
    throw Error(make_reason(ErrorCode::unsupported, "stream",
                            "stream: the cpu has none; its layers have done their work when they return"));
  }
  return find_device(device);
}

}  // namespace

StreamState* chosen_stream(const DeviceState& device) noexcept {
  for (const ChosenStream* scope = innermost; scope != nullptr; scope = scope->outer) {
    if (&scope->stream->device == &device) {
      return scope->stream.get();
    }
  }
  return nullptr;
}

StreamState& stream_in_use(DeviceState& device) {
  StreamState* stream = chosen_stream(device);
  return stream != nullptr ? *stream : default_stream(device);
}

}  // namespace device

using device::ask;
using device::ordinal_of;

bool Event::done() const {
  std::uint32_t done = 1;
  if (state_ != nullptr) {
    ask(state_->device, "asking whether an event is done", [&](const lh_device_1& table, lh_error* error) {
      return table.event_query(ordinal_of(state_->device), state_->native, &done, error);
    });
  }
  return done != 0;
}

void Event::synchronize() const {
  if (state_ != nullptr) {
    ask(state_->device, "waiting for an event", [&](const lh_device_1& table, lh_error* error) {
      return table.event_synchronize(ordinal_of(state_->device), state_->native, error);
    });
    device::pass_pending(state_->device);
  }
}

double seconds_between(const Event& first, const Event& second) {
  if (first.state_ == nullptr || second.state_ == nullptr || &first.state_->device != &second.state_->device ||
      !first.done() || !second.done()) {
    throw Error(make_reason(ErrorCode::invalid_argument, "event",
                            "seconds_between: the two events are not of one device or not done; synchronize first"));
  }
  double seconds = 0;
  device::DeviceState& on = first.state_->device;
  ask(on, "measuring between events", [&](const lh_device_1& table, lh_error* error) {
    return table.event_elapsed(ordinal_of(on), first.state_->native, second.state_->native, &seconds, error);
  });
  return seconds;
}

Stream::Stream(Device device) {
  device::DeviceState& on = device::device_with_streams(device);
  void* native = nullptr;
  ask(on, "making a stream",
      [&](const lh_device_1& table, lh_error* error) { return table.stream_create(ordinal_of(on), &native, error); });
  state_ = std::make_shared<device::StreamState>(on, native, true);
}

Stream Stream::borrow(Device device, void* native) {
  device::DeviceState& on = device::device_with_streams(device);
  std::uint32_t ordinal = 0;
  ask(on, "asking which device a stream is of",
      [&](const lh_device_1& table, lh_error* error) { return table.stream_ordinal(native, &ordinal, error); });
  if (ordinal != ordinal_of(on)) {
    throw Error(make_reason(ErrorCode::invalid_argument, "stream",
                            fmt::format("stream: it is of ordinal {}, not of {}; borrow it for its own device", ordinal,
                                        to_string(device))));
  }
  return Stream(std::make_shared<device::StreamState>(on, native, false));
}

Stream Stream::default_of(Device device) {
  device::StreamState& stream = device::default_stream(device::device_with_streams(device));
  return Stream(std::shared_ptr<device::StreamState>(&stream, [](auto*) {}));  // never destroyed
}

Device Stream::device() const noexcept { return state_->device.device; }

void* Stream::native() const noexcept { return state_->native; }

void Stream::synchronize() const {
  ask(state_->device, "waiting for a stream", [&](const lh_device_1& table, lh_error* error) {
    return table.stream_synchronize(ordinal_of(state_->device), state_->native, error);
  });
  device::pass_pending(state_->device);
}

Event Stream::record() const {
  void* native = nullptr;
  ask(state_->device, "recording an event", [&](const lh_device_1& table, lh_error* error) {
    return table.event_record(ordinal_of(state_->device), state_->native, &native, error);
  });
  return Event(std::make_shared<device::EventState>(state_->device, native));
}

void Stream::wait(const Event& event) const {
  if (event.state_ == nullptr) {
    return;
  }
  if (&event.state_->device != &state_->device) {
    event.synchronize();  // devices know nothing of each other's events
    return;
  }
  ask(state_->device, "making a stream wait", [&](const lh_device_1& table, lh_error* error) {
    return table.stream_wait_event(ordinal_of(state_->device), state_->native, event.state_->native, error);
  });
}

use_stream::use_stream(const Stream& stream) : chosen_{stream.state_, device::innermost} {
  device::innermost = &chosen_;
}

use_stream::~use_stream() {
  for (device::ChosenStream** scope = &device::innermost; *scope != nullptr; scope = &(*scope)->outer) {
    if (*scope == &chosen_) {
      *scope = chosen_.outer;
      return;
    }
  }
}

}  // namespace layerhub
