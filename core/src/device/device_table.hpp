// SPDX-License-Identifier: Apache-2.0
// Which devices there are. The cpu answers for itself; for any other type a device plugin is looked for when the type
// is first asked about: a repository of the allow list whose metadata says that it brings a runtime for that type. What
// was not found is looked for again the next time, so that a plugin may be dropped in under a running host.
#pragma once

#include "device/runtime.hpp"

#include <string>
#include <string_view>

namespace layerhub::device {

// The runtime of a type. Refused: unsupported (none is installed), ambiguous (two are), and why its plugin can't be
// opened. [thread-safe]
Result<Runtime*> find_runtime(DLDeviceType type);

// A device that is there. Throws Error(unsupported), with the reason where there is none of its type. [thread-safe]
DeviceState& find_device(Device device);

// device_info without the processor's name, which is slow to ask (processor_name) and decides nothing. Throws as
// device_info does. [thread-safe]
DeviceInfo capabilities_of(Device device);

// What variants for this type are chosen by: the system's facts, with the version of the type's runtime where one is
// there. [thread-safe]
hub::SystemFacts facts_for(std::string_view device_type);

// The system's facts for listings, which open no runtime.
hub::SystemFacts facts_for_listing();

}  // namespace layerhub::device
