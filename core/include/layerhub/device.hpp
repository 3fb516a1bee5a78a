// SPDX-License-Identifier: Apache-2.0
// A device as hosts name it: a type and an ordinal. Memory kinds are not devices of their own: pinned host memory
// dispatches as the cpu, managed memory as the device that manages it.
#pragma once

#include <layerhub/export.hpp>

#include <dlpack/dlpack.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub {

struct Device {
  DLDeviceType type = kDLCPU;
  std::int32_t ordinal = 0;

  static constexpr Device cpu() noexcept { return {}; }
  static constexpr Device cuda(std::int32_t ordinal = 0) noexcept { return {kDLCUDA, ordinal}; }
  static constexpr Device rocm(std::int32_t ordinal = 0) noexcept { return {kDLROCM, ordinal}; }
  static constexpr Device opencl(std::int32_t ordinal = 0) noexcept { return {kDLOpenCL, ordinal}; }

  // Where a tensor of this DLPack device is computed on. [thread-safe]
  LAYERHUB_API static Device of(DLDevice device) noexcept;

  bool operator==(const Device&) const = default;
};

// "cpu", "cuda:1" (the ordinal is left out for the cpu). [thread-safe]
LAYERHUB_API std::string to_string(Device device);

// Reads "cuda" or "cuda:1". Types are those that DLPack has a number for; a mapping also knows xpu, npu, tpu and
// neuron, for which there are no runtimes. Throws Error(invalid_argument) that lists the known types. [thread-safe]
LAYERHUB_API Device parse_device(std::string_view text);

// What a device can do. CPU: the x86-64 level 1 to 4; CUDA: major * 10 + minor, 90 for sm_90.
struct DeviceInfo {
  Device device;
  std::uint32_t capability = 0;
  std::string name;
  std::string features;  // comma separated, sorted: "avx512_vnni"
  std::string arch{};    // "gfx90a:sramecc+"; empty where the capability says it all
  std::string driver{};
  std::uint64_t total_memory = 0, free_memory = 0;  // bytes, of the device's own; 0: its runtime does not say
};

// Throws Error(unsupported) where no runtime for this type is there, or no device of this ordinal; Error(device_lost).
// [thread-safe]
LAYERHUB_API DeviceInfo device_info(Device device);

// The devices of a type, and why there is none: its plugin is not installed, the driver is missing. One that is lost
// keeps its place, without a capability; its name says why. [thread-safe]
struct DeviceList {
  std::vector<DeviceInfo> devices;
  std::string reason;  // empty where there are devices
};
LAYERHUB_API DeviceList list_devices(DLDeviceType type);

// What a host that speaks a device's own runtime needs to share objects with it: "opencl.context", "opencl.device".
// Throws Error(unsupported) where the device or its runtime has no such thing. Borrowed. [thread-safe]
LAYERHUB_API void* native_handle(Device device, const char* what);

// The repositories that device runtimes may come from; a trailing * stands for any text. The default is
// layerhub/device-*. A runtime that is in use stays. [thread-safe]
LAYERHUB_API void set_device_plugins(std::vector<std::string> repositories);

}  // namespace layerhub
