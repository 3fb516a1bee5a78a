// SPDX-License-Identifier: Apache-2.0
// Whether numbers are near enough to those of a reference: within what the kernel that made them declares.
#pragma once

#include <layerhub/abi.h>

#include <string>
#include <vector>

namespace layerhub::testing {

// The kernel's row for inputs of the dtype, or the widest bounds of all rows.
lh_tolerance tolerance_for(const lh_kernel& kernel, DLDataType dtype);

// "" or the first that is too far: "[17] is 0.25, want 0.3 (off by 0.05, allowed 1e-05)". A NaN is near to a NaN alone.
std::string difference(const std::vector<double>& got, const std::vector<double>& want, const lh_tolerance& allowed);

}  // namespace layerhub::testing
