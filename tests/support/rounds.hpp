// SPDX-License-Identifier: Apache-2.0
// How often a random test goes round: tests/run --heavy multiplies it.
#pragma once

#include <cstdlib>

namespace layerhub::testing {

inline int rounds(int plain) { return std::getenv("LAYERHUB_HEAVY") != nullptr ? 20 * plain : plain; }

}  // namespace layerhub::testing
