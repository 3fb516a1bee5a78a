// SPDX-License-Identifier: Apache-2.0
// The runtime of one device type, as its plugin offers it ("lh.device/1"), and what the loader keeps of each device.
//
// A runtime is found when its type is first asked about, and then stays for the life of the process: streams, buffers
// and drivers may outlive everything else. So do the states of its devices, whose addresses never change.
#pragma once

#include "base/result.hpp"
#include "hub/system_facts.hpp"
#include "plugin/error_text.hpp"

#include <layerhub/abi/device.h>
#include <layerhub/device.hpp>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::device {

class Runtime;
struct StreamState;

// What waits for work that streams were given before.
struct Pending {
  std::vector<void*> events;
  std::function<void()> then;
};

struct DeviceState {
  DeviceState(Runtime& from, std::uint32_t ordinal);

  Runtime& runtime;
  const Device device;
  std::atomic<bool> lost{false};
  std::atomic<StreamState*> default_stream{nullptr};

  std::mutex mutex;                   // of all below
  std::string lost_by;                // the first failure that said so
  std::vector<StreamState*> streams;  // that are alive
  std::vector<void*> left_behind;     // events of streams that are not
  std::deque<Pending> pending;        // the oldest in front
};

class Runtime {
 public:
  // The functions that the table must have are there. Refused: bad_library.
  static Result<std::unique_ptr<Runtime>> make(const lh_device_1& table, std::string name);

  const lh_device_1& table() const noexcept { return table_; }
  const std::string& name() const noexcept { return name_; }  // "layerhub/device-x@v1"
  DLDeviceType type() const noexcept { return static_cast<DLDeviceType>(table_.device_type); }
  std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(devices_.size()); }
  const std::string& why_none() const noexcept { return why_none_; }  // where count is 0
  const std::optional<hub::BackendVersion>& version() const noexcept { return version_; }

  // nullptr: there is none of that ordinal.
  DeviceState* find(std::int32_t ordinal) noexcept;
  DeviceInfo info(DeviceState& device) const;

 private:
  Runtime(const lh_device_1& table, std::string name) : table_(table), name_(std::move(name)) {}
  void enumerate();

  lh_device_1 table_;
  std::string name_;
  std::deque<DeviceState> devices_;
  std::string why_none_;
  std::optional<hub::BackendVersion> version_;
};

// Marks the device as lost, once, with what was said of it.
void lose(DeviceState& device, std::string_view said);

// Throws Error(device_lost) that names the device and what became of it.
[[noreturn]] void throw_lost(DeviceState& device);

// Throws that where it is lost.
inline void need_device(DeviceState& device) {
  if (device.lost.load(std::memory_order_acquire)) {
    throw_lost(device);
  }
}

// Throws Error for a status of the runtime: "<act> on <device> failed: ...".
[[noreturn]] void throw_failure(DeviceState& device, std::string_view act, std::int32_t status,
                                const plugin::ErrorText& text);

// Runs one function of the runtime and throws what it reports.
template <class Function>
void ask(DeviceState& device, std::string_view act, Function&& function) {
  need_device(device);
  plugin::ErrorText text;
  if (const std::int32_t status = function(device.runtime.table(), &text.error); status != LH_OK) {
    throw_failure(device, act, status, text);
  }
}

// While it lives, the calling thread's current device is this one; afterwards what it was. Nothing where the runtime
// has no such thing.
class CurrentDevice {
 public:
  explicit CurrentDevice(const DeviceState& device) noexcept;
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;

 private:
  const lh_device_1* to_restore_ = nullptr;
  std::uint32_t was_ = 0;
};

}  // namespace layerhub::device
