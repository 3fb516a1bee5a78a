// SPDX-License-Identifier: Apache-2.0
// What every built kernel is held to, checked for each kernel of some libraries that can run here. There is no test
// code per kernel: a new kernel is tested by being built.
//
// LAYERHUB_TEST_KERNELS=text limits all of them to libraries and kernels whose "library: layer (implementation)" holds
// that text.
#pragma once

#include "support/built_plugins.hpp"

#include <limits>

namespace layerhub::testing {

// Where to run takes long: so many cases of a kernel at most, drawn from all of them, the same in every run.
constexpr std::size_t every_case = std::numeric_limits<std::size_t>::max();

// forward, on each case that the kernel's own declarations allow, against its layer's reference in double precision.
void check_kernels(const std::vector<BuiltLibrary>& libraries, std::size_t at_most = every_case);

// backward, where there is one, against finite differences of that reference.
void check_gradients(const std::vector<BuiltLibrary>& libraries, std::size_t at_most = every_case);

// LH_TRAIT_CAPTURE_SAFE, where the device can record: forward in a graph, which then runs on other inputs.
void check_captures(const std::vector<BuiltLibrary>& libraries);

}  // namespace layerhub::testing
