// SPDX-License-Identifier: Apache-2.0
// Each kernel of each built library that this system can run: see support/kernel_checks.hpp.
#include "support/catch.hpp"
#include "support/kernel_checks.hpp"

#include <cstdio>
#include <cstdlib>

namespace layerhub::testing {
namespace {

// Apart, so that they run side by side.
TEST_CASE("every kernel of the cpu that this one can run keeps to its layer's reference") {
  check_kernels(open_built_plugins(LAYERHUB_PLUGIN_ROOT, kDLCPU));
}

TEST_CASE("every kernel of another device that is here keeps to its layer's reference") {
  // Nothing is kept on disk: PoCL compiles a kernel a second time where it is asked for a program's bytes, and has a
  // cache of its own. A hundred shapes make a hundred programs.
  ::setenv("LAYERHUB_CACHE", "/dev/null", 1);
  for (const DLDeviceType device_type : {kDLOpenCL, kDLCUDA, kDLROCM}) {
    check_kernels(open_built_plugins(LAYERHUB_PLUGIN_ROOT, device_type));
  }
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
