// SPDX-License-Identifier: Apache-2.0
// Each kernel that trains, of each built library, against finite differences of its layer's reference. As with forward,
// there is no test code per kernel. LAYERHUB_TEST_KERNELS=text limits the run as in every_kernel_test.cpp.
#include "support/built_plugins.hpp"
#include "support/catch.hpp"
#include "support/gradient_run.hpp"

#include <layerhub/sdk/call.hpp>

#include <set>

namespace layerhub::testing {
namespace {

TEST_CASE("every kernel that trains gives the gradients that finite differences of its layer's reference give") {
  for (const BuiltLibrary& library : open_built_plugins(LAYERHUB_PLUGIN_ROOT)) {
    for (const lh_kernel* kernel : library.kernels) {
      const std::string name = kernel_name(library, *kernel);
      if (!library.missing.empty() || kernel->backward == nullptr || !is_wanted(name)) {
        continue;
      }
      const KnownLayer* layer = find_known_layer(sdk::view(kernel->layer));
      REQUIRE(layer != nullptr);
      int passed = 0, declined = 0, failed = 0;
      std::string complaints;
      for (const KernelCase& made : gradient_cases_for(*kernel, *layer)) {
        const Outcome outcome = run_backward_case(*kernel, *layer, made);
        passed += outcome.kind == Outcome::passed;
        declined += outcome.kind == Outcome::declined;
        if (outcome.kind == Outcome::failed && ++failed <= 3) {
          complaints += "\n  " + made.text + "\n    " + outcome.complaint;
        }
      }
      INFO(name << ": " << passed << " cases passed, " << declined << " declined, " << failed << " failed"
                << complaints);
      CHECK(failed == 0);
      CHECK(passed > 0);
    }
  }
}

TEST_CASE("every activation, norm and matrix product trains") {
  std::set<std::string> training;
  for (const BuiltLibrary& library : open_built_plugins(LAYERHUB_PLUGIN_ROOT)) {
    for (const lh_kernel* kernel : library.kernels) {
      if (kernel->backward != nullptr) {
        training.emplace(sdk::view(kernel->layer));
      }
    }
  }
  for (const char* layer : {"SiluAndMul", "GeluAndMul", "GeluTanhAndMul", "MulAndSilu", "Silu", "Gelu", "GeluTanh",
                            "FastGELU", "NewGELU", "QuickGELU", "ReLU", "RMSNorm", "LayerNorm", "Linear"}) {
    CHECK(training.count(layer) == 1);
  }
}

}  // namespace
}  // namespace layerhub::testing
