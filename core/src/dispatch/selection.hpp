// SPDX-License-Identifier: Apache-2.0
// The first half of the decision chain: from a layer's name to the kernels of one library that may serve it. It looks
// at the mapping and at metadata alone, never at the host's layer, so one selection serves all layers of a name: a
// model of two hundred layers makes five.
#pragma once

#include "base/reason.hpp"
#include "dispatch/mapping_value.hpp"
#include "dispatch/modes.hpp"
#include "hub/resolver.hpp"
#include "hub/roots.hpp"
#include "plugin/plugin.hpp"

#include <layerhub/device.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::dispatch {

// One step of the chain as explain() shows it.
struct Step {
  std::string rule;  // "mapping", "device", "capability", "mode", "repository", "library", "lock", "signature", ...
  bool passed = false;
  std::string text;  // what held, or the reason why it did not
  std::vector<Fact> facts{};
};

struct Refused {
  Refusal kind = Refusal::missing;
  Reason reason;
};

struct Selection {
  DeviceInfo device;
  std::vector<Step> steps;
  std::optional<Refused> refused;  // then what follows the step that refused is not there
  Mode registered = Mode::fallback;
  bool automatic = false;
  bool pinned = false;  // by a lock: what fails is an error whatever the policy

  hub::RepositoryRef ref;
  std::string layer_name;  // in the repository
  std::shared_ptr<const hub::Resolved> resolved;
  const hub::LibraryInfo* library = nullptr;      // of resolved
  std::vector<const hub::KernelInfo*> kernels{};  // of library: for this layer, device and capability; sorted
};

// From a repository that is given. [thread-safe]
std::shared_ptr<const Selection> select_from(const Repository& repository, Device device);

// From one entry of a mapping, as if it had been found for the request. [thread-safe]
std::shared_ptr<const Selection> select_entry(const RepositoryEntry& entry, std::string_view layer, Device device,
                                              Mode registered);

// "sha256-..." of the chosen library. Refused: io_error.
Result<std::string> digest_of(const Selection& selection);

// Selections of one pass over a model, all under one mapping, what they found on the way, and the libraries that were
// opened for them.
class SelectionCache {
 public:
  struct Known {
    std::string_view layer;  // of a LayerType, or another text that outlives the pass
    Device device;
    Mode mode = Mode::inference;
    std::shared_ptr<const Selection> selection;
    std::shared_ptr<const plugin::Plugin> plugin{};  // nullptr: not opened yet
  };
  // layer: the name that it is marked with. Valid until the next call. [one thread at a time]
  Known& select(std::string_view layer, Device device, Mode mode, const MappingValue& mapping);

 private:
  std::vector<Known> known_;
  hub::RootCache roots_;
};

hub::RepositoryRef ref_of(const Repository& repository);
const std::string& layer_name_of(const Repository& repository);
std::string device_type_name(Device device);  // "cuda"

}  // namespace layerhub::dispatch
