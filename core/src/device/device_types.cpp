// SPDX-License-Identifier: Apache-2.0
#include "device/device_types.hpp"

#include "base/reason.hpp"

#include <layerhub/device.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace layerhub {
namespace device {
namespace {

constexpr std::array types{DeviceType{"cpu", kDLCPU, true},
                           DeviceType{"cuda", kDLCUDA, true, &hub::SystemFacts::cuda},
                           DeviceType{"rocm", kDLROCM, true, &hub::SystemFacts::rocm},
                           DeviceType{"opencl", kDLOpenCL, true, &hub::SystemFacts::opencl, true},
                           DeviceType{"xpu", kDLExtDev, false},
                           DeviceType{"mps", kDLMetal, true},
                           DeviceType{"npu", kDLExtDev, false},
                           DeviceType{"tpu", kDLExtDev, false},
                           DeviceType{"neuron", kDLExtDev, false}};

}  // namespace

std::span<const DeviceType> device_types() { return types; }

const DeviceType* find_device_type(std::string_view name) {
  const auto found = std::find_if(types.begin(), types.end(), [&](const DeviceType& t) { return t.name == name; });
  return found == types.end() ? nullptr : &*found;
}

const DeviceType* find_device_type(DLDeviceType code) {
  const auto found =
      std::find_if(types.begin(), types.end(), [&](const DeviceType& t) { return t.has_code && t.code == fold(code); });
  return found == types.end() ? nullptr : &*found;
}

std::string known_device_types(Known known) {
  std::string names;
  for (const DeviceType& type : types) {
    if (type.has_code || known == Known::to_mappings) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", type.name);
    }
  }
  return names;
}

DLDeviceType fold(DLDeviceType code) noexcept {
  switch (code) {
    case kDLCUDAHost:
    case kDLROCMHost: return kDLCPU;
    case kDLCUDAManaged: return kDLCUDA;
    default: return code;
  }
}

}  // namespace device

Device Device::of(DLDevice device) noexcept {
  const DLDeviceType type = device::fold(device.device_type);
  return {type, type == kDLCPU ? 0 : device.device_id};
}

std::string to_string(Device device) {
  const device::DeviceType* type = device::find_device_type(device.type);
  const std::string name =
      type != nullptr ? std::string(type->name) : fmt::format("DLPack type {}", static_cast<int>(device.type));
  return device.type == kDLCPU ? name : fmt::format("{}:{}", name, device.ordinal);
}

Device parse_device(std::string_view text) {
  const std::size_t colon = text.find(':');
  const device::DeviceType* type = device::find_device_type(text.substr(0, colon));
  Device device;
  const auto refuse = [&](const std::string& fact) {
    throw Error(
        make_reason(ErrorCode::invalid_argument, "device", fmt::format("device `{}`: {}", printable(text), fact)));
  };
  if (type == nullptr || !type->has_code) {
    refuse(fmt::format("it is not known; name one of {}, with :ordinal where there are several",
                       device::known_device_types(device::Known::to_tensors)));
  }
  if (colon != std::string_view::npos) {
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + colon + 1, end, device.ordinal);
    if (read.ec != std::errc() || read.ptr != end || device.ordinal < 0) {
      refuse(fmt::format("what follows the colon is no ordinal; write {}:0 for the first", type->name));
    }
    if (device.ordinal != 0 && type->code == kDLCPU) {
      refuse("there is one cpu; write cpu");
    }
  }
  device.type = type->code;
  return device;
}

}  // namespace layerhub
