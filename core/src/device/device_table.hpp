// SPDX-License-Identifier: Apache-2.0
// Who answers for the devices of a type. The cpu answers for itself; what else there is says so here. Asked anew each
// time and per ordinal: two devices of one type need not be alike, and one may go away.
#pragma once

#include <layerhub/device.hpp>

#include <functional>

namespace layerhub::device {

// Throws Error(unsupported) for an ordinal that is not there.
using AskDevice = std::function<DeviceInfo(std::int32_t ordinal)>;

// An empty one takes the runtime away. [thread-safe]
void set_runtime(DLDeviceType type, AskDevice ask);

}  // namespace layerhub::device
