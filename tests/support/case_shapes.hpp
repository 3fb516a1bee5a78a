// SPDX-License-Identifier: Apache-2.0
// Shapes and dtypes that a kernel's constraints allow, found by propagation: what is fixed (an example's
// shapes, then one free dimension after the other) spreads along the constraints that tie arguments together.
#pragma once

#include <layerhub/abi.h>
#include <layerhub/sdk/formats.hpp>
#include <layerhub/sdk/reference.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace layerhub::testing {

using Shape = std::vector<std::int64_t>;

// What an argument is made of: a plain dtype, or a block format (dtype u8).
struct ElementType {
  DLDataType dtype{};
  const sdk::BlockFormat* format = nullptr;
};

// Every combination, one element type per argument, that DTYPE_IN, SAME_DTYPE and the arguments' formats allow.
std::vector<std::vector<ElementType>> element_types(const lh_kernel& kernel);

// Shapes of all arguments (empty ones for scalars), or nothing where the constraints and what is given contradict.
// seed: the shape of the first argument that the example does not give; free dimensions of others are made up.
std::optional<std::vector<Shape>> solve_shapes(const lh_kernel& kernel, const std::vector<ElementType>& types,
                                               const sdk::Example& example, const Shape& seed);

}  // namespace layerhub::testing
