// SPDX-License-Identifier: Apache-2.0
// Each kernel of each built library, on each case that its own declarations allow, against its layer's reference in
// double precision. There is no test code per kernel: a new kernel is tested by being built.
//
// LAYERHUB_TEST_KERNELS=text limits the run to libraries and kernels whose "library: layer (implementation)"
// holds that text.
#include "support/built_plugins.hpp"
#include "support/catch.hpp"
#include "support/kernel_run.hpp"

#include <layerhub/sdk/call.hpp>

#include <cstdio>

namespace layerhub::testing {
namespace {

struct Tally {
  int passed = 0, declined = 0, failed = 0;
  std::string complaints;  // of the first few
};

Tally run_all(const lh_kernel& kernel, const KnownLayer& layer) {
  Tally tally;
  for (const KernelCase& made : cases_for(kernel, layer)) {
    const Outcome outcome = run_case(kernel, layer, made);
    tally.passed += outcome.kind == Outcome::passed;
    tally.declined += outcome.kind == Outcome::declined;
    if (outcome.kind == Outcome::failed && ++tally.failed <= 3) {
      tally.complaints += "\n  " + made.text + "\n    " + outcome.complaint;
    }
  }
  return tally;
}

TEST_CASE("every kernel that this processor can run keeps to its layer's reference") {
  for (const BuiltLibrary& library : open_built_plugins(LAYERHUB_PLUGIN_ROOT)) {
    for (const lh_kernel* kernel : library.kernels) {
      const std::string name = kernel_name(library, *kernel);
      if (!library.missing.empty() || !is_wanted(name)) {
        continue;
      }
      const KnownLayer* layer = find_known_layer(sdk::view(kernel->layer));
      INFO(name);
      REQUIRE(layer != nullptr);
      CHECK(kernel->signature == layer->signature);
      const Tally tally = run_all(*kernel, *layer);
      INFO(tally.passed << " cases passed, " << tally.declined << " declined, " << tally.failed << " failed"
                        << tally.complaints);
      CHECK(tally.failed == 0);
      CHECK(tally.passed > 0);
    }
  }
}

// A test of its own, so that what could not run is seen as skipped and what ran is not.
TEST_CASE("every built kernel can run on this processor") {
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
