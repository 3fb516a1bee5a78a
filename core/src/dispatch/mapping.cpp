// SPDX-License-Identifier: Apache-2.0
// Mapping: validation when it is made, and the rules by which an entry is found.
#include "dispatch/mapping_value.hpp"

#include "base/reason.hpp"
#include "device/device_types.hpp"
#include "dispatch/modes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

namespace layerhub {
namespace dispatch {
namespace {

constexpr auto bits(Mode mode) { return static_cast<std::uint32_t>(mode); }

[[noreturn]] void invalid(const std::string& text) {
  throw Error(make_reason(ErrorCode::invalid_argument, "mapping", text));
}

void check_device(const std::string& layer, const MappedDevice& device) {
  if (device::find_device_type(device.type) == nullptr) {
    invalid(fmt::format("mapping of `{}`: the device type `{}` is not known; name one of {}", printable(layer),
                        printable(device.type), device::known_device_types(device::Known::to_mappings)));
  }
  if (!device.interval_of.empty() && device.interval_of != device.type) {
    invalid(fmt::format("mapping of `{}`: properties of {} are given for `{}`; give them with `{}`", printable(layer),
                        device.interval_of, device.type, device.interval_of));
  }
  if (device.interval.min_capability > device.interval.max_capability) {
    invalid(fmt::format("mapping of `{}` on {}: min_capability {} is above max_capability {}; swap them",
                        printable(layer), device.type, device.interval.min_capability, device.interval.max_capability));
  }
}

void check_repository(const std::string& layer, const Repository& repository) {
  if (const auto* hub = std::get_if<LayerRepository>(&repository)) {
    if (hub->revision.empty() == !hub->version.has_value()) {
      invalid(fmt::format("mapping of `{}`: {} has {} revision and version; give exactly one of the two",
                          printable(layer), printable(hub->repo_id), hub->version ? "both" : "neither"));
    }
    if (hub->repo_id.empty() || hub->layer_name.empty()) {
      invalid(fmt::format("mapping of `{}`: repo_id or layer_name is empty; give both", printable(layer)));
    }
  } else if (const auto* local = std::get_if<LocalLayerRepository>(&repository)) {
    if (local->path.empty() || local->layer_name.empty()) {
      invalid(fmt::format("mapping of `{}`: path or layer_name is empty; give both", printable(layer)));
    }
  } else if (const auto& locked = std::get<LockedLayerRepository>(repository);
             locked.repo_id.empty() || locked.layer_name.empty() || locked.lock_file.empty()) {
    invalid(
        fmt::format("mapping of `{}`: repo_id, layer_name or lock_file is empty; give all three", printable(layer)));
  }
}

void check_mode(const std::string& layer, Mode mode) {
  if (const std::string fault = registration_fault(mode); !fault.empty()) {
    invalid(fmt::format("mapping of `{}`: a repository is registered for the mode {}: {}", printable(layer),
                        to_string(mode), fault));
  }
}

}  // namespace

void check_entry(const std::string& layer, const MappedDevice& device, Mode mode, const Repository& repository) {
  if (layer.empty()) {
    invalid("mapping: a layer's name is empty; give the name that the layer is marked with");
  }
  check_device(layer, device);
  check_mode(layer, mode);
  check_repository(layer, repository);
}

namespace {

std::shared_ptr<MappingValue> value_of(const auto& entries) {
  auto value = std::make_shared<MappingValue>();
  value->id = next_mapping_id();
  for (const Mapping::LayerEntry& entry : entries) {
    for (const Mapping::DeviceEntry& device : entry.devices) {
      for (const auto& [mode, repository] : device.repositories.entries) {
        check_entry(entry.layer, device.device, mode, repository);
        value->add(entry.layer, device.device.type, device.device.interval, mode, {repository});
      }
    }
  }
  return value;
}

}  // namespace

std::uint64_t next_mapping_id() noexcept {
  static std::atomic<std::uint64_t> last{1};  // 1 is the empty mapping that a process begins with
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

void MappingValue::add(std::string_view layer, std::string_view device, CapabilityInterval interval, Mode mode,
                       RepositoryEntry entry) {
  DeviceEntries& devices = layers.try_emplace(std::string(layer)).first->second;
  std::vector<IntervalEntry>& intervals = devices.try_emplace(std::string(device)).first->second;
  const auto same = std::find_if(intervals.begin(), intervals.end(), [&](const IntervalEntry& i) {
    return i.interval.min_capability == interval.min_capability && i.interval.max_capability == interval.max_capability;
  });
  IntervalEntry& target = same != intervals.end() ? *same : intervals.emplace_back(IntervalEntry{interval, {}});
  target.modes.insert_or_assign(bits(mode), std::move(entry));
}

const IntervalEntry* narrowest(const std::vector<IntervalEntry>& intervals, std::uint32_t capability) noexcept {
  const IntervalEntry* best = nullptr;
  const auto width = [](const IntervalEntry& i) { return i.interval.max_capability - i.interval.min_capability; };
  for (const IntervalEntry& i : intervals) {
    if (capability < i.interval.min_capability || capability > i.interval.max_capability) {
      continue;
    }
    if (best == nullptr || width(i) < width(*best) ||
        (width(i) == width(*best) && i.interval.min_capability < best->interval.min_capability)) {
      best = &i;
    }
  }
  return best;
}

}  // namespace dispatch

Mapping::Mapping() : value_(dispatch::value_of(std::vector<LayerEntry>{})) {}
Mapping::Mapping(std::initializer_list<LayerEntry> entries) : value_(dispatch::value_of(entries)) {}
Mapping::Mapping(const std::vector<LayerEntry>& entries) : value_(dispatch::value_of(entries)) {}

bool Mapping::empty() const noexcept { return value_->layers.empty(); }

std::vector<std::string> Mapping::layers() const {
  std::vector<std::string> names;
  for (const auto& [name, devices] : value_->layers) {
    names.push_back(name);
  }
  return names;
}

}  // namespace layerhub
