// SPDX-License-Identifier: Apache-2.0
#include "device/device_table.hpp"

#include "base/reason.hpp"
#include "device/cpu_device.hpp"

#include <layerhub/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <mutex>
#include <utility>

namespace layerhub {
namespace device {
namespace {

struct Table {
  std::mutex mutex;
  std::map<DLDeviceType, AskDevice> runtimes;
};
Table& table() {
  static Table& instance = *new Table;
  return instance;
}

}  // namespace

void set_runtime(DLDeviceType type, AskDevice ask) {
  std::lock_guard lock(table().mutex);
  table().runtimes[type] = std::move(ask);
}

}  // namespace device

DeviceInfo device_info(Device device) {
  if (device == Device::cpu()) {
    const hub::SystemFacts& facts = device::system_facts();
    return {device, facts.cpu_capability, facts.cpu_name, fmt::format("{}", fmt::join(facts.cpu_features, ",")), {}};
  }
  device::AskDevice ask;
  {
    std::lock_guard lock(device::table().mutex);
    ask = device::table().runtimes[device.type];
  }
  if (!ask) {
    throw Error(
        make_reason(ErrorCode::unsupported, "device",
                    fmt::format("device {}: no runtime for it is here; install its device plugin", to_string(device))));
  }
  return ask(device.ordinal);
}

}  // namespace layerhub
