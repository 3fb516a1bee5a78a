// SPDX-License-Identifier: Apache-2.0
// The directories that the host named with set_plugin_roots.
#pragma once

#include <string>
#include <vector>

namespace layerhub::dispatch {

std::vector<std::string> explicit_roots();  // [thread-safe]

}  // namespace layerhub::dispatch
