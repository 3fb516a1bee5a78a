// SPDX-License-Identifier: Apache-2.0
// The device types that mappings may name, and what core knows of each. The only place in core/src that names vendors,
// but for the grammar of variants.
#pragma once

#include "hub/system_facts.hpp"

#include <dlpack/dlpack.h>

#include <span>
#include <string>
#include <string_view>

namespace layerhub::device {

struct DeviceType {
  std::string_view name;
  DLDeviceType code;  // of the tensors that live there; memory kinds fold into it, see fold()
  bool has_code;      // DLPack 0.6 has no code for it: mappings may name it, no tensor can reach it
  // Where a runtime's version stands among the facts that variants are chosen by; nullptr: no variant asks for it.
  std::optional<hub::BackendVersion> hub::SystemFacts::*version = nullptr;
  // DLTensor.data names a buffer and is no address: two tensors overlap only within one buffer.
  bool data_is_handle = false;
};

std::span<const DeviceType> device_types();

const DeviceType* find_device_type(std::string_view name);  // nullptr: unknown
const DeviceType* find_device_type(DLDeviceType code);

// "cpu, cuda, rocm, ...", for messages: all that mappings may name, or those that tensors can be on.
enum class Known : std::uint8_t { to_mappings, to_tensors };
std::string known_device_types(Known known);

// Pinned host memory computes on the cpu, managed memory on the device that manages it.
DLDeviceType fold(DLDeviceType code) noexcept;

}  // namespace layerhub::device
