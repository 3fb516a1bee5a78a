// SPDX-License-Identifier: Apache-2.0
// One decision: which kernel serves a layer on a device in a mode, and every step that led there. Kept for explain().
#pragma once

#include "dispatch/binding.hpp"
#include "dispatch/selection.hpp"

#include <layerhub/kernelize.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace layerhub::dispatch {

struct Decision {
  Device device;
  DLDevice tensors{};  // as calls name it: the device itself, or a kind of memory that computes there
  Mode mode = Mode::inference;
  std::optional<Fallback> fallback{};  // as it was asked for; nothing: the entry's default
  std::uint64_t mapping = 0;           // the id of the mapping that it was made under
  std::shared_ptr<const Selection> selection;
  std::vector<Step> own_steps;             // that followed the selection's, up to the binding
  std::shared_ptr<const Binding> binding;  // nullptr: the layer's own forward

  std::string served_by() const;     // "layerhub/norm@v1: vector" or "own forward"
  std::vector<Step> steps() const;   // all, the last one says that it was bound or why not
  const Step* last_refusal() const;  // nullptr: none
};

struct Request {
  const detail::LayerRef& layer;
  Device device;
  Mode mode = Mode::inference;
  std::optional<Fallback> fallback{};
  std::shared_ptr<const MappingValue> mapping;
  // Bindings of this layer that may serve again, where the decision comes to the same kernel.
  std::vector<std::shared_ptr<const Binding>> reusable{};
  SelectionCache* selections = nullptr;  // of a pass over many layers
};

// The decision chain, from "is there an entry" to a binding. Fills in `decision` as far as it comes. Throws Error where
// the policy does not let the layer fall back to its own forward. [thread-safe]
void decide(const Request& request, Decision& decision);

// The same for a kernel function: the repository is given, nothing falls back.
void decide_function(const detail::LayerRef& function, const Repository& repository, Device device, Decision& decision);

}  // namespace layerhub::dispatch
