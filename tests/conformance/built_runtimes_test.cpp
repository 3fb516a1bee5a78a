// SPDX-License-Identifier: Apache-2.0
// The device runtimes of this project, in a host that was linked with none of them, on whatever this machine has: a
// card, a driver without a card, or neither.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

#include <filesystem>

namespace {

using layerhub::DeviceList;

const std::vector<std::pair<std::string, DLDeviceType>> types{
    {"cuda", kDLCUDA}, {"rocm", kDLROCM}, {"opencl", kDLOpenCL}};

bool is_built(const std::string& type) {
  return std::filesystem::is_directory(std::string(LAYERHUB_PLUGIN_ROOT) + "/layerhub/device-" + type);
}

}  // namespace

TEST_CASE("a runtime that was built has devices, or one line that says why there are none") {
  layerhub::set_plugin_roots({LAYERHUB_PLUGIN_ROOT});
  for (const auto& [name, type] : types) {
    INFO(name);
    const DeviceList list = layerhub::list_devices(type);
    INFO(list.reason);
    CHECK(list.devices.empty() == !list.reason.empty());
    CHECK(list.reason.find('\n') == std::string::npos);
    CHECK((list.reason.find("no runtime for") != std::string::npos) == !is_built(name));
  }
}

TEST_CASE("a device that a runtime does not have is an error with its reason, and the host goes on") {
  layerhub::set_plugin_roots({LAYERHUB_PLUGIN_ROOT});
  for (const auto& [name, type] : types) {
    INFO(name);
    const DeviceList list = layerhub::list_devices(type);
    const layerhub::Device missing{type, static_cast<std::int32_t>(list.devices.size())};
    try {
      layerhub::Buffer(missing, 64);
      FAIL("there is memory on a device that is not there");
    } catch (const layerhub::Error& error) {
      CHECK(std::string(error.what()).starts_with("device " + layerhub::to_string(missing) + ": "));
      CHECK(std::string(error.what()).find(list.reason) != std::string::npos);
    }
    const layerhub::Buffer host(layerhub::Device::cpu(), 64);
    CHECK(host.data() != nullptr);
  }
}

TEST_CASE("devices that a runtime has are described: a name, memory and a capability") {
  layerhub::set_plugin_roots({LAYERHUB_PLUGIN_ROOT});
  for (const auto& [name, type] : types) {
    for (const layerhub::DeviceInfo& device : layerhub::list_devices(type).devices) {
      INFO(layerhub::to_string(device.device));
      CHECK(device.capability >= 12);
      CHECK_FALSE(device.name.empty());
    }
  }
}
