// SPDX-License-Identifier: Apache-2.0
// Streams and events of devices: the order in which work is done there, and points in it.
//
// A layer that is called with tensors of a device enqueues its work and returns; outputs may be read once the stream
// has passed. Which stream that is, the calling thread says with use_stream; without one it is the device's default
// stream, one per process. Work on one stream is in order, work on two is not.
#pragma once

#include <layerhub/device.hpp>
#include <layerhub/export.hpp>

#include <memory>

namespace layerhub {

namespace device {
struct StreamState;
struct EventState;

// What a thread has put in use: a list of its scopes, the innermost first.
struct ChosenStream {
  std::shared_ptr<StreamState> stream;
  ChosenStream* outer = nullptr;
};
}  // namespace device

// A point in a stream. Copies are the same event. [thread-safe]
class LAYERHUB_API Event {
 public:
  Event() = default;  // of nothing: done

  // Whether all that the stream had been given before it has run. Never waits. Throws Error(device_lost).
  bool done() const;
  // Waits for that. Throws Error(device_lost).
  void synchronize() const;

 private:
  friend class Stream;
  friend LAYERHUB_API double seconds_between(const Event& first, const Event& second);
  explicit Event(std::shared_ptr<device::EventState> state) : state_(std::move(state)) {}
  std::shared_ptr<device::EventState> state_;
};

// By the device's own clock; both are of one device and done, else Error(invalid_argument). [thread-safe]
LAYERHUB_API double seconds_between(const Event& first, const Event& second);

// Copies are the same stream, and so is one that was moved from. [thread-safe]
class LAYERHUB_API Stream {
 public:
  Stream(const Stream&) = default;
  Stream& operator=(const Stream&) = default;
  // A new stream. Throws Error(unsupported) where there is no such device; the cpu has no streams.
  explicit Stream(Device device);
  // A stream that the host made with the device's own runtime (a cudaStream_t, a cl_command_queue that is in order).
  // It must outlive the object. Throws Error(invalid_argument) where it is of another device.
  static Stream borrow(Device device, void* native);
  // What calls go to where nothing else is said.
  static Stream default_of(Device device);

  Device device() const noexcept;
  void* native() const noexcept;  // of the device's runtime; never freed by the caller

  // Waits until all that it was given has run. Throws Error(device_lost), also for a fault in a kernel before.
  void synchronize() const;
  Event record() const;
  // What the stream is given from here on runs after the event, which may be of another stream of the device.
  void wait(const Event& event) const;

 private:
  friend class use_stream;
  explicit Stream(std::shared_ptr<device::StreamState> state) : state_(std::move(state)) {}
  std::shared_ptr<device::StreamState> state_;
};

// While it lives, this thread's calls on the stream's device go to the stream. Scopes nest; the innermost of a device
// counts. It is destroyed in its thread, at the latest when that ends.
class LAYERHUB_API use_stream {
 public:
  explicit use_stream(const Stream& stream);
  ~use_stream();
  use_stream(const use_stream&) = delete;
  use_stream& operator=(const use_stream&) = delete;

 private:
  device::ChosenStream chosen_;
};

}  // namespace layerhub
