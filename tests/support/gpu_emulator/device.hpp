// SPDX-License-Identifier: Apache-2.0
// The emulated devices of a vendor, and the state that the runtime's functions share: one lock, and for each thread the
// current device and the last error.
#pragma once

#include "device_memory.hpp"
#include "emulated_runtime.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace layerhub::gpu_emulator {

struct Device;

// The end of what a stream had been given when an event was recorded in it.
struct Record {
  Stream* stream = nullptr;
  bool done = false;
  double seconds = 0;
};

using Work = std::function<void()>;

struct Graph {
  Device* device;
  std::vector<Work> nodes;
  bool broken = false;  // by a call that has no place in a capture
  std::thread::id captured_by{};
};

struct Stream {
  Device* device;
  std::deque<Work> queue{};
  std::unique_ptr<Graph> capture{};
};

struct Event {
  Device* device;
  std::shared_ptr<Record> record{};
};

struct Device {
  Device(Vendor v, int n, Properties p) : vendor(v), ordinal(n), properties(std::move(p)), memory(properties.memory) {}

  Vendor vendor;
  int ordinal;
  Properties properties;
  DeviceMemory memory;
  Code fault = success;  // of a kernel: every later call returns it
  std::string fault_text{};
  Stream default_stream{this};
  std::set<Stream*> streams{};  // those that were created
};

struct System {
  std::vector<std::unique_ptr<Device>> devices;
  std::map<void*, std::size_t> pinned{};  // -> bytes
};

struct ThreadState {
  int current = 0;
  Code last_error = success;
};

System& system_of(Vendor vendor);
ThreadState& thread_state(Vendor vendor);
std::recursive_mutex& runtime_mutex();

// Runs a function of the runtime under the lock; what it returns becomes the thread's last error.
template <class Run>
Code guarded(Vendor vendor, Run&& run) {
  std::lock_guard lock(runtime_mutex());
  const Code code = run();
  if (code != success && code != not_ready) {
    thread_state(vendor).last_error = code;
  }
  return code;
}

// The same on the current device, which must be there and without a fault.
template <class Run>
Code on_device(Vendor vendor, Run&& run) {
  return guarded(vendor, [&] {
    System& system = system_of(vendor);
    if (system.devices.empty()) {
      return no_device;
    }
    Device& device = *system.devices[thread_state(vendor).current];
    const Code code = device.fault != success ? device.fault : run(device);
    return device.fault != success ? device.fault : code;
  });
}

// stream.cpp: puts work into the stream, or into the graph that it captures; runs what a stream was given, up to a
// record or to the end.
Stream& stream_of(Device& device, Stream* stream);
void enqueue(Stream& stream, Work work);
void run_queue(Stream& stream, const Record* until = nullptr);
void run_all(Device& device);
// What may not be called while this thread captures: breaks the capture and returns the code for it.
Code refused_in_capture(Device& device);

}  // namespace layerhub::gpu_emulator
