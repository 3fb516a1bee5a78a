// SPDX-License-Identifier: Apache-2.0
// Runs a kernel on a case as a host does: create, infer, forward, destroy; then says what was wrong.
#pragma once

#include "support/kernel_case.hpp"

#include <string>

namespace layerhub::testing {

struct Outcome {
  enum Kind { passed, declined, failed } kind;
  std::string complaint;  // of a failed case: "3 threads: y[17] is 0.25, want 0.3 (off by 0.05, allowed 1e-05)"
};

// Held to: the reference within the kernel's tolerance, on 1, 2 and 3 threads; the same bits on all of them under
// LH_TRAIT_DETERMINISTIC; no byte written but elements of outputs, states and workspace.
Outcome run_case(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made);

}  // namespace layerhub::testing
