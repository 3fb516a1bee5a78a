// SPDX-License-Identifier: Apache-2.0
// Runs a kernel on a case as a host does: create, infer, forward, destroy; then says what was wrong.
#pragma once

#include "support/kernel_case.hpp"
#include "support/test_device.hpp"

#include <string>

namespace layerhub::testing {

struct Outcome {
  enum Kind { passed, declined, failed } kind;
  std::string complaint;  // of a failed case: "3 threads: y[17] is 0.25, want 0.3 (off by 0.05, allowed 1e-05)"
};

// Held to: the reference within the kernel's tolerance, on 1, 2 and 3 threads; the same bits on all of them under
// LH_TRAIT_DETERMINISTIC; no byte written but elements of outputs, states and workspace.
// On the device, or without one on the cpu; a device gets two calls instead, since threads mean nothing to it.
Outcome run_case(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made,
                 const TestDevice* device = nullptr);

// A kernel with LH_TRAIT_CAPTURE_SAFE, on a device that can record: forward is recorded, the inputs get other values,
// the recorded work is run, and the outputs are held to the reference of those.
Outcome run_captured_case(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made,
                          const TestDevice* device);

}  // namespace layerhub::testing
