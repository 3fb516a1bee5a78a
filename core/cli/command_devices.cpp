// SPDX-License-Identifier: Apache-2.0
// layerhub devices: the devices that this machine has, each with the plugin that is its runtime, and of each type that
// has none the reason.
#include "base/json.hpp"
#include "commands.hpp"
#include "device/device_table.hpp"
#include "device/device_types.hpp"

#include <layerhub/device.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace layerhub::cli {
namespace {

std::string memory_of(const DeviceInfo& info) {
  constexpr double gibibyte = 1024.0 * 1024 * 1024;
  return info.total_memory == 0 ? "" : fmt::format("{:.1f} GiB", static_cast<double>(info.total_memory) / gibibyte);
}

Json json_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json json_of(const DeviceInfo& info, const std::string& runtime) {
  return {{"device", to_string(info.device)}, {"name", info.name},
          {"capability", info.capability},    {"arch", info.arch},
          {"features", info.features},        {"driver", info.driver},
          {"runtime", json_or_null(runtime)}, {"total_memory", info.total_memory}};
}

}  // namespace

std::string capability_text(const DeviceInfo& info) {
  if (info.device == Device::cpu()) {
    return fmt::format("x86-64 level {}", info.capability);
  }
  return fmt::format("capability {}{}{}", info.capability, info.arch.empty() ? "" : ", ", info.arch);
}

int devices(const Options& options) {
  Json json = Json::array();
  std::vector<std::vector<std::string>> rows{{"device", "memory", "can", "runtime", "name"}};
  for (const device::DeviceType& type : device::device_types()) {
    if (!type.has_code) {
      continue;
    }
    // Asked once: where there is no runtime, each time looks through the plugin directories again.
    const Result<device::Runtime*> opened = device::find_runtime(type.code);
    const std::string runtime = opened ? opened.value()->name() : "";
    const DeviceList list =
        opened || type.code == kDLCPU ? list_devices(type.code) : DeviceList{{}, opened.error().text};
    for (const DeviceInfo& info : list.devices) {
      rows.push_back({to_string(info.device), memory_of(info), capability_text(info), runtime, info.name});
      json.push_back(json_of(info, runtime));
    }
    if (list.devices.empty() && type.version != nullptr) {  // of the other types nobody has a runtime yet
      rows.push_back({std::string(type.name), "", "", runtime, "- " + list.reason});
      json.push_back({{"device", type.name}, {"missing", list.reason}, {"runtime", json_or_null(runtime)}});
    }
  }
  if (options.json) {
    fmt::print("{}\n", write_json(json));
  } else {
    print_table(rows);
  }
  return 0;
}

}  // namespace layerhub::cli
