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
#include "dispatch/plugin_listing.hpp"
#include "hub/resolver.hpp"

#include <fmt/format.h>

#include <memory>

namespace layerhub {
namespace dispatch {
namespace {

void check_unambiguous(const ClaimedLayer& claimed) {
  const std::vector<Claim>& claims = claimed.claims;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    for (std::size_t j = i + 1; j < claims.size(); ++j) {
      const Claim &a = claims[i], &b = claims[j];
      if (a.min_capability <= b.max_capability && b.min_capability <= a.max_capability) {
        throw Error(make_reason(
            ErrorCode::ambiguous, "automatic_mapping",
            fmt::format("layer `{}` on {}: both {}@{} and {}@{} have it; remove one, or choose one by an entry of "
                        "your own",
                        claimed.layer, claimed.device, a.repo_id, a.revision, b.repo_id, b.revision)));
      }
    }
  }
}

}  // namespace

}  // namespace dispatch

void set_plugin_roots(std::vector<std::string> roots) { hub::set_explicit_roots(std::move(roots)); }

Mapping automatic_mapping(const std::vector<std::string>& given, const Mapping& chosen) {
  const auto roots = std::make_shared<const std::vector<std::string>>(given.empty() ? hub::explicit_roots() : given);
  const std::vector<hub::Root> searched = hub::plugin_roots(*roots);
  const dispatch::PluginListing listing =
      dispatch::list_plugins(hub::Resolver(searched, device::facts_for_listing()));
  for (const std::string& warning : listing.warnings) {
    log(LogLevel::warn, "{}", warning);
  }
  auto value = std::make_shared<dispatch::MappingValue>();
  value->notes.push_back(fmt::format("searched: {}", hub::describe_roots(searched)));
  value->notes.insert(value->notes.end(), listing.left_out.begin(), listing.left_out.end());
  for (const dispatch::ClaimedLayer& claimed : listing.layers) {
    const auto own = chosen.value()->layers.find(claimed.layer);
    if (own != chosen.value()->layers.end() && own->second.contains(claimed.device)) {
      continue;
    }
    dispatch::check_unambiguous(claimed);
    for (const dispatch::Claim& claim : claimed.claims) {
      LayerRepository repository{.repo_id = claim.repo_id, .layer_name = claimed.layer, .revision = claim.revision};
      value->add(claimed.layer, claimed.device, {claim.min_capability, claim.max_capability}, Mode::fallback,
                 {std::move(repository), true, roots});
    }
  }
  value->id = dispatch::next_mapping_id();
  return Mapping(dispatch::combine(value, chosen.value(), true));
}

}  // namespace layerhub
