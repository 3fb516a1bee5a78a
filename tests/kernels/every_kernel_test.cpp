// SPDX-License-Identifier: Apache-2.0
// Each kernel of each built library that this system can run: see support/kernel_checks.hpp.
#include "support/catch.hpp"
#include "support/kernel_checks.hpp"

#include <cstdio>

namespace layerhub::testing {
namespace {

TEST_CASE("every kernel that this system can run keeps to its layer's reference") {
  check_kernels(open_built_plugins(LAYERHUB_PLUGIN_ROOT));
}

TEST_CASE("a kernel that is safe to capture can be recorded, and replayed on other inputs") {
  check_captures(open_built_plugins(LAYERHUB_PLUGIN_ROOT));
}

// A test of its own, so that what could not run is seen as skipped and what ran is not.
TEST_CASE("every built kernel can run on this system") {
  for (const BuiltLibrary& library : open_built_plugins(LAYERHUB_PLUGIN_ROOT)) {
    CHECK(!library.kernels.empty());
    if (!library.missing.empty()) {
      const bool is_cpu = library.kernels.front()->device_type == kDLCPU;
      std::printf("skipped: %s: %s%s\n", library.name.c_str(), is_cpu ? "this CPU has no " : "",
                  library.missing.c_str());
    }
  }
}

}  // namespace
}  // namespace layerhub::testing
