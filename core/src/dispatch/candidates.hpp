// SPDX-License-Identifier: Apache-2.0
// Every kernel in the plugin directories that has a layer's name, each with the rule that accepted or refused it. Made
// from metadata when somebody asks; no library is opened.
#pragma once

#include "dispatch/selection.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace layerhub::dispatch {

struct Candidate {
  std::string repo_id, revision, variant, library, kernel;
  bool accepted = false;
  std::string rule;  // that refused: "mapping", "version", "metadata", "variant", "library", "device", ...; "serves"
  std::string text;  // what it compared
};

// selection: what `select` gave under a mapping for the same layer, device and mode; its repository is the one that may
// serve. nullptr: as automatic_mapping would choose. Sorted by repository, revision, variant, then best library first.
std::vector<Candidate> list_candidates(std::string_view layer, Device device, Mode mode, const Selection* selection,
                                       const hub::Resolver& resolver);

Json to_json(const Candidate& candidate);

}  // namespace layerhub::dispatch
