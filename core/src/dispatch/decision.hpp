// SPDX-License-Identifier: Apache-2.0
// One decision: which kernel serves a layer on a device in a mode, and every step that led there. Kept for explain().
#pragma once

#include "base/reason.hpp"
#include "dispatch/binding.hpp"
#include "dispatch/mapping_value.hpp"

#include <layerhub/kernelize.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace layerhub::dispatch {

struct Step {
  std::string rule;  // "mapping", "device", "capability", "mode", "repository", "library", "signature", "load", "bind"
  bool passed = false;
  std::string text;  // what held, or the reason why it did not
  std::vector<Fact> facts{};
};

struct Decision {
  Device device;
  DLDevice tensors{};  // as calls name it: the device itself, or a kind of memory that computes there
  Mode mode = Mode::inference;
  std::optional<Fallback> fallback{};  // as kernelize was asked; nothing: the entry's default
  std::uint64_t mapping = 0;           // the id of the mapping that it was made under
  std::vector<Step> steps;
  std::shared_ptr<const Binding> binding;  // nullptr: the layer's own forward
  std::string served_by() const;           // "layerhub/norm@v1: vector" or "own forward"

  void passed(std::string rule, std::string text) { steps.push_back({std::move(rule), true, std::move(text)}); }
  void refused(const Reason& reason) { steps.push_back({reason.rule, false, reason.text, reason.facts}); }
};

struct Request {
  const detail::LayerRef& layer;
  Device device;
  Mode mode = Mode::inference;
  std::optional<Fallback> fallback{};
  std::shared_ptr<const MappingValue> mapping;
  // Bindings of this layer that may serve again, where the decision comes to the same kernel.
  std::vector<std::shared_ptr<const Binding>> reusable{};
};

// The decision chain, from "is there an entry" to a binding. Fills in `decision` as far as it comes. Throws Error where
// the policy does not let the layer fall back to its own forward. [thread-safe]
void decide(const Request& request, Decision& decision);

// The same for a kernel function: the repository is given, nothing falls back.
void decide_function(const detail::LayerRef& function, const Repository& repository, Device device, Decision& decision);

}  // namespace layerhub::dispatch
