// SPDX-License-Identifier: Apache-2.0
// Holds a kernel's backward to finite differences of its layer's reference in double precision.
//
// With L = sum(grad_out * reference(in)), each element of grad_in is compared with (L(x + h) - L(x - h)) / 2h, where the
// difference is taken output by output, so that outputs that do not depend on x add no rounding.
#pragma once

#include "support/kernel_case.hpp"
#include "support/kernel_run.hpp"

#include <vector>

namespace layerhub::testing {

// Of cases_for(): those whose tensors are small enough for two references an element, and of the others an even
// choice, which the threads need. None is in place: backward knows no such thing.
std::vector<KernelCase> gradient_cases_for(const lh_kernel& kernel, const KnownLayer& layer);

// Held to: each gradient element, or 64 of each tensor, as above; the same bits on 1, 2 and 3 threads under
// LH_TRAIT_DETERMINISTIC; the same bits where only some gradients are wanted; gradients overwritten, whatever was there;
// params as they are after update_params; no byte written but elements of gradients and the workspace.
//
// Tolerance: the kernel's own rows, the wider one of those of the first input's and of the gradient's dtype. The
// declared bounds are for outputs, whose terms are of the size of the inputs. A gradient's terms are products of that
// and of grad_out, so the absolute bound is multiplied by the largest |gradient| that was wanted of the tensor, where
// it is above 1.
Outcome run_backward_case(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made);

}  // namespace layerhub::testing
