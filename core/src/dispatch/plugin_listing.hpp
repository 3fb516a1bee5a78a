// SPDX-License-Identifier: Apache-2.0
// Which plugin has which layer, for all that is in the plugin directories: what automatic_mapping maps. Worked out
// from the metadata of every plugin, and found again by the next process (base/saved_answers.hpp) while every folder
// and every metadata.json that it was read from is the same by stat.
#pragma once

#include "hub/resolver.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace layerhub::dispatch {

// From the lowest capability that one of the repository's kernels of the layer asks for to the highest.
struct Claim {
  std::string repo_id, revision;
  std::uint32_t min_capability = 0, max_capability = 0;  // inclusive
};

struct ClaimedLayer {
  std::string layer, device;
  std::vector<Claim> claims;
};

struct PluginListing {
  std::vector<ClaimedLayer> layers;   // by layer and device
  std::vector<std::string> left_out;  // "left out org/name@v1 variant: why", for explain
  std::vector<std::string> warnings;  // those of them that an operator should hear of
};

// Of one repository the newest version counts. [thread-safe]
PluginListing list_plugins(const hub::Resolver& resolver);

}  // namespace layerhub::dispatch
