// SPDX-License-Identifier: Apache-2.0
// A mapping made from the metadata of every plugin that is there.
//
// Of one repository the newest version counts. A layer's interval on a device reaches from the lowest capability
// that one of its kernels asks for to the highest; intervals of two repositories that meet are ambiguous, unless
// the host's own entry for that layer and device decides.
#include "base/log.hpp"
#include "base/reason.hpp"
#include "device/device_table.hpp"
#include "dispatch/mapping_value.hpp"
#include "hub/resolver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <tuple>

namespace layerhub {
namespace dispatch {
namespace {

struct Claim {
  std::string repo_id, revision;
  CapabilityInterval interval;
};
// layer and device -> who has it
using Claims = std::map<std::pair<std::string, std::string>, std::vector<Claim>>;

constexpr std::uint32_t unbounded = std::numeric_limits<std::uint32_t>::max();

void add_claims(const hub::Found& plugin, Claims& claims) {
  for (const hub::LibraryInfo& library : plugin.metadata.value().libraries) {
    for (const hub::KernelInfo& kernel : library.kernels) {
      if (kernel.kind != LH_KERNEL_LAYER) {
        continue;
      }
      const std::uint32_t highest = kernel.max_capability == 0 ? unbounded : kernel.max_capability;
      std::vector<Claim>& all = claims[{kernel.layer, kernel.device}];
      const auto own =
          std::find_if(all.begin(), all.end(), [&](const Claim& c) { return c.repo_id == plugin.repo_id; });
      if (own == all.end()) {
        all.push_back({plugin.repo_id, plugin.revision, {kernel.min_capability, highest}});
      } else {
        own->interval.min_capability = std::min(own->interval.min_capability, kernel.min_capability);
        own->interval.max_capability = std::max(own->interval.max_capability, highest);
      }
    }
  }
}

void check_unambiguous(const std::string& layer, const std::string& device, const std::vector<Claim>& claims) {
  for (std::size_t i = 0; i < claims.size(); ++i) {
    for (std::size_t j = i + 1; j < claims.size(); ++j) {
      const Claim &a = claims[i], &b = claims[j];
      if (a.interval.min_capability <= b.interval.max_capability &&
          b.interval.min_capability <= a.interval.max_capability) {
        throw Error(make_reason(
            ErrorCode::ambiguous, "automatic_mapping",
            fmt::format("layer `{}` on {}: both {}@{} and {}@{} have it; remove one, or choose one by an entry of "
                        "your own",
                        layer, device, a.repo_id, a.revision, b.repo_id, b.revision)));
      }
    }
  }
}

// The newest revision of each repository: scan() sorts versions by number, so the last one that can be used.
std::vector<const hub::Found*> newest(const std::vector<hub::Found>& found, std::vector<std::string>& notes) {
  std::map<std::string, const hub::Found*> by_repository;
  for (const hub::Found& plugin : found) {
    const std::string name = fmt::format("{}@{} {}", plugin.repo_id, plugin.revision, plugin.variant);
    if (!plugin.misfit.empty()) {
      notes.push_back(fmt::format("left out {}: {}", name, plugin.misfit));
    } else if (!plugin.metadata) {
      notes.push_back(fmt::format("left out {}: {}", name, plugin.metadata.error().text));
      log(LogLevel::warn, "{} is left out: {}", name, plugin.metadata.error().text);
    } else {
      by_repository[plugin.repo_id + " " + plugin.metadata.value().backend] = &plugin;
    }
  }
  std::vector<const hub::Found*> chosen;
  for (const auto& [name, plugin] : by_repository) {
    chosen.push_back(plugin);
  }
  return chosen;
}

}  // namespace

}  // namespace dispatch

void set_plugin_roots(std::vector<std::string> roots) { hub::set_explicit_roots(std::move(roots)); }

Mapping automatic_mapping(const std::vector<std::string>& given, const Mapping& chosen) {
  const auto roots = std::make_shared<const std::vector<std::string>>(given.empty() ? hub::explicit_roots() : given);
  const std::vector<hub::Root> searched = hub::plugin_roots(*roots);
  const std::vector<hub::Found> found = hub::Resolver(searched, device::facts_for_listing()).scan();
  auto value = std::make_shared<dispatch::MappingValue>();
  value->notes.push_back(fmt::format("searched: {}", hub::describe_roots(searched)));
  dispatch::Claims claims;
  for (const hub::Found* plugin : dispatch::newest(found, value->notes)) {
    dispatch::add_claims(*plugin, claims);
  }
  for (const auto& [key, all] : claims) {
    const auto& [layer, device] = key;
    const auto own = chosen.value()->layers.find(layer);
    if (own != chosen.value()->layers.end() && own->second.contains(device)) {
      continue;
    }
    dispatch::check_unambiguous(layer, device, all);
    for (const dispatch::Claim& claim : all) {
      LayerRepository repository{.repo_id = claim.repo_id, .layer_name = layer, .revision = claim.revision};
      value->add(layer, device, claim.interval, Mode::fallback, {std::move(repository), true, roots});
    }
  }
  value->id = dispatch::next_mapping_id();
  return Mapping(dispatch::combine(value, chosen.value(), true));
}

}  // namespace layerhub
