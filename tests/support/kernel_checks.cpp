// SPDX-License-Identifier: Apache-2.0
#include "support/kernel_checks.hpp"

#include "support/catch.hpp"
#include "support/gradient_run.hpp"
#include "support/kernel_run.hpp"

#include <layerhub/sdk/call.hpp>

#include <algorithm>
#include <functional>
#include <random>

namespace layerhub::testing {
namespace {

using RunCase = Outcome (*)(const lh_kernel&, const KnownLayer&, const KernelCase&, const TestDevice*);

// Runs the cases of one kernel: none may fail, some must pass.
void check_cases(const std::string& name, const lh_kernel& kernel, const KnownLayer& layer,
                 const std::vector<KernelCase>& cases, const TestDevice* device, RunCase run) {
  int passed = 0, declined = 0, failed = 0;
  std::string complaints;  // of the first few
  for (const KernelCase& made : cases) {
    const Outcome outcome = run(kernel, layer, made, device);
    passed += outcome.kind == Outcome::passed;
    declined += outcome.kind == Outcome::declined;
    if (outcome.kind == Outcome::failed && ++failed <= 3) {
      complaints += "\n  " + made.text + "\n    " + outcome.complaint;
    }
  }
  INFO(name << ": " << passed << " cases passed, " << declined << " declined, " << failed << " failed" << complaints);
  CHECK(failed == 0);
  CHECK(passed > 0);
}

void for_each_kernel(const std::vector<BuiltLibrary>& libraries,
                     const std::function<void(const BuiltLibrary&, const lh_kernel&, const KnownLayer&)>& check) {
  for (const BuiltLibrary& library : libraries) {
    for (const lh_kernel* kernel : library.kernels) {
      const std::string name = kernel_name(library, *kernel);
      if (library.missing.empty() && is_wanted(name)) {
        const KnownLayer* layer = find_known_layer(sdk::view(kernel->layer));
        INFO(name);
        REQUIRE(layer != nullptr);
        check(library, *kernel, *layer);
      }
    }
  }
}

std::vector<KernelCase> drawn(std::vector<KernelCase> cases, std::size_t at_most) {
  if (cases.size() > at_most) {
    std::shuffle(cases.begin(), cases.end(), std::mt19937(1));
    cases.resize(at_most);
  }
  return cases;
}

}  // namespace

void check_kernels(const std::vector<BuiltLibrary>& libraries, std::size_t at_most) {
  for_each_kernel(libraries, [&](const BuiltLibrary& library, const lh_kernel& kernel, const KnownLayer& layer) {
    CHECK(kernel.signature == layer.signature);
    check_cases(kernel_name(library, kernel), kernel, layer, drawn(cases_for(kernel, layer), at_most), library.device,
                &run_case);
  });
}

void check_gradients(const std::vector<BuiltLibrary>& libraries, std::size_t at_most) {
  for_each_kernel(libraries, [&](const BuiltLibrary& library, const lh_kernel& kernel, const KnownLayer& layer) {
    if (kernel.backward != nullptr) {
      check_cases(kernel_name(library, kernel), kernel, layer, drawn(gradient_cases_for(kernel, layer), at_most),
                  library.device, &run_backward_case);
    }
  });
}

// To record is the same for all values and most layouts: a few cases show it.
void check_captures(const std::vector<BuiltLibrary>& libraries) {
  constexpr std::size_t captured_cases = 24;
  for_each_kernel(libraries, [](const BuiltLibrary& library, const lh_kernel& kernel, const KnownLayer& layer) {
    if ((kernel.traits & LH_TRAIT_CAPTURE_SAFE) != 0 && library.device != nullptr && library.device->can_capture()) {
      check_cases(kernel_name(library, kernel), kernel, layer, drawn(cases_for(kernel, layer), captured_cases),
                  library.device, &run_captured_case);
    }
  });
}

}  // namespace layerhub::testing
