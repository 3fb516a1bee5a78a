// SPDX-License-Identifier: Apache-2.0
// A declared constraint in words, for refusals and explain.
#pragma once

#include "plugin/descriptor.hpp"

#include <string>

namespace layerhub::dispatch {

std::string dim_name(std::int32_t dim);  // "dimension 1", "the last dimension"

// What is so where the constraint does not hold: "`x` and `y` differ in shape".
std::string describe_constraint(const plugin::Kernel& kernel, const lh_constraint& constraint);

}  // namespace layerhub::dispatch
