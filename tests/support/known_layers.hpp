// SPDX-License-Identifier: Apache-2.0
// The layers whose contract and double-precision reference the SDK has, found by name. A plugin's kernel is held to
// these and never to a reference of its own: no plugin grades itself.
#pragma once

#include <layerhub/sdk/reference.hpp>

#include <string_view>
#include <vector>

namespace layerhub::testing {

struct KnownLayer {
  std::string_view name;
  std::uint64_t signature;
  void (*reference)(sdk::ReferenceCall&);
  std::vector<sdk::Example> (*examples)();  // at least one; an empty one leaves all to the constraints
};

// NULL for a layer that the SDK does not know.
const KnownLayer* find_known_layer(std::string_view name);

}  // namespace layerhub::testing
