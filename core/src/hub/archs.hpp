// SPDX-License-Identifier: Apache-2.0
// The architectures that a GPU build lists in its metadata, against the device that is there.
//
//   CUDA   "8.0"   the same major version, and at least this minor one
//          "9.0a"  exactly this, since it uses what only this architecture has
//          "10.0f" the same family: the same major version, and at least this minor one
//          "+PTX"  behind one of the first form: this and everything newer, compiled when it is loaded; adds nothing
//                   to the other two, whose PTX is bound to the same devices
//   ROCm   "gfx90a", features behind ":" left out on both sides
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::hub {

// Why no arch of the list runs on the device; nothing: one does, or the list is empty and the build runs anywhere.
// backend: "cuda" or "rocm"; others have no archs. capability: major * 10 + minor. device_arch: "gfx90a:sramecc+".
std::optional<std::string> archs_misfit(const std::vector<std::string>& archs, std::string_view backend,
                                        std::uint32_t capability, std::string_view device_arch);

}  // namespace layerhub::hub
