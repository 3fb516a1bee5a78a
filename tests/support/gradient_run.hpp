// SPDX-License-Identifier: Apache-2.0
// Holds a kernel's backward to finite differences of its layer's reference in double precision.
//
// With L = sum(grad_out * reference(in)), each element of grad_in is compared with (L(x + h) - L(x - h)) / 2h, where
// the difference is taken output by output, so that outputs that do not depend on x add no rounding.
#pragma once

#include "support/kernel_case.hpp"
#include "support/kernel_run.hpp"

#include <vector>

namespace layerhub::testing {

// Of cases_for(): those whose tensors are small enough for two references an element, and of the others the
// largest, which several threads share, and an even choice. None is in place: backward knows no such thing.
std::vector<KernelCase> gradient_cases_for(const lh_kernel& kernel, const KnownLayer& layer);

// Held to: each gradient element, or 64 of each tensor, as above; the same bits on 1, 2 and 3 threads under
// LH_TRAIT_DETERMINISTIC; the same bits where only some gradients are wanted; gradients overwritten, whatever was
// there; params as they are after update_params; no byte written but elements of gradients and the workspace.
//
// Tolerance: the kernel's own rows, the wider one of those of the first input's and of the gradient's dtype. The
// declared bounds are for outputs, whose terms are of the size of the inputs. A gradient's terms are products of that
// and of grad_out, and may cancel: the absolute bound is multiplied by the largest of 1, |grad_out| and the |gradient|
// that is wanted of the tensor. The bound of the mean square error holds as it stands.
Outcome run_backward_case(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made,
                          const TestDevice* device = nullptr);

}  // namespace layerhub::testing
