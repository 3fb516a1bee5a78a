// SPDX-License-Identifier: Apache-2.0
// The first half of the decision chain: from a layer's name to the kernels of one library that may serve it. It looks
// at the mapping and at metadata alone, never at the host's layer, so one selection serves all layers of a name: a
// model of two hundred layers makes five.
#pragma once

#include "base/reason.hpp"
#include "dispatch/mapping_value.hpp"
#include "hub/resolver.hpp"

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

// What kind of refusal it is: the columns of Fallback's table. What a lock refuses never falls back.
enum class Refusal : std::uint8_t { missing, unsupported, failed, locked };

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

  hub::RepositoryRef ref;
  std::string layer_name;  // in the repository
  std::shared_ptr<const hub::Resolved> resolved;
  const hub::LibraryInfo* library = nullptr;      // of resolved
  std::vector<const hub::KernelInfo*> kernels{};  // of library: for this layer, device and capability; sorted
};

// Under a mapping. layer: the name that it is marked with. [thread-safe]
std::shared_ptr<const Selection> select(std::string_view layer, Device device, Mode mode, const MappingValue& mapping);

// From a repository that is given. [thread-safe]
std::shared_ptr<const Selection> select_from(const Repository& repository, Device device);

// Selections of one pass over a model, all under one mapping.
class SelectionCache {
 public:
  std::shared_ptr<const Selection> select(std::string_view layer, Device device, Mode mode,
                                          const MappingValue& mapping);

 private:
  struct Known {
    std::string_view layer;  // of a LayerType, which outlives the pass
    Device device;
    Mode mode;
    std::shared_ptr<const Selection> selection;
  };
  std::vector<Known> known_;
};

hub::RepositoryRef ref_of(const Repository& repository);
const std::string& layer_name_of(const Repository& repository);
std::string device_type_name(Device device);  // "cuda"

}  // namespace layerhub::dispatch
