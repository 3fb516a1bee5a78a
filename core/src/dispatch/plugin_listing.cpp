// SPDX-License-Identifier: Apache-2.0
#include "dispatch/plugin_listing.hpp"

#include "base/saved_answers.hpp"
#include "base/witness.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

namespace layerhub::dispatch {

template <class Archive, same_value_as<Claim> C>
void fields(Archive& archive, C& claim) {
  archive(claim.repo_id, claim.revision, claim.min_capability, claim.max_capability);
}
template <class Archive, same_value_as<ClaimedLayer> L>
void fields(Archive& archive, L& layer) {
  archive(layer.layer, layer.device, layer.claims);
}
template <class Archive, same_value_as<PluginListing> L>
void fields(Archive& archive, L& listing) {
  archive(listing.layers, listing.left_out, listing.warnings);
}

namespace {

constexpr std::string_view answer_kind = "listing";
constexpr std::uint32_t unbounded = std::numeric_limits<std::uint32_t>::max();

using Claims = std::map<std::pair<std::string, std::string>, std::vector<Claim>>;  // by layer and device

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
        all.push_back({plugin.repo_id, plugin.revision, kernel.min_capability, highest});
      } else {
        own->min_capability = std::min(own->min_capability, kernel.min_capability);
        own->max_capability = std::max(own->max_capability, highest);
      }
    }
  }
}

// The newest revision of each repository: scan() sorts versions by number, so the last one that can be used.
std::vector<const hub::Found*> newest(const std::vector<hub::Found>& found, PluginListing& listing) {
  std::map<std::string, const hub::Found*> by_repository;
  for (const hub::Found& plugin : found) {
    const std::string name = fmt::format("{}@{} {}", plugin.repo_id, plugin.revision, plugin.variant);
    if (!plugin.misfit.empty()) {
      listing.left_out.push_back(fmt::format("left out {}: {}", name, plugin.misfit));
    } else if (!plugin.metadata) {
      listing.left_out.push_back(fmt::format("left out {}: {}", name, plugin.metadata.error().text));
      listing.warnings.push_back(fmt::format("{} is left out: {}", name, plugin.metadata.error().text));
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

PluginListing make_listing(const std::vector<hub::Found>& found) {
  PluginListing listing;
  Claims claims;
  for (const hub::Found* plugin : newest(found, listing)) {
    add_claims(*plugin, claims);
  }
  for (auto& [key, all] : claims) {
    listing.layers.push_back({key.first, key.second, std::move(all)});
  }
  return listing;
}

// Everything but files that a listing depends on, each part ended by a NUL, which no path has.
std::string question_of(const hub::Resolver& resolver) {
  const hub::SystemFacts& facts = resolver.facts();
  std::string question = facts.cpu_arch + '\0' + facts.os + '\0';
  for (const hub::Root& root : resolver.roots()) {
    if (root.ignored.empty()) {
      question += root.path.native() + '\0';
    }
  }
  return question;
}

std::optional<PluginListing> find_saved(const std::string& question) {
  const std::optional<std::string> answer = find_answer(answer_kind, question);
  if (!answer) {
    return std::nullopt;
  }
  std::vector<Witness> witnesses;
  PluginListing listing;
  ArchiveReader archive(*answer);
  archive(witnesses, listing);
  return archive.is_complete() && unchanged(witnesses) ? std::optional(std::move(listing)) : std::nullopt;
}

}  // namespace

PluginListing list_plugins(const hub::Resolver& resolver) {
  const std::string question = question_of(resolver);
  if (std::optional<PluginListing> known = find_saved(question)) {
    return *std::move(known);
  }
  const std::int64_t settled = settled_time_ns();
  std::vector<boost::filesystem::path> looked_at;
  PluginListing listing = make_listing(resolver.scan(&looked_at));
  const std::vector<Witness> witnesses = look_at_all(std::move(looked_at));
  if (std::all_of(witnesses.begin(), witnesses.end(), [&](const Witness& w) { return w.is_older_than(settled); })) {
    ArchiveWriter archive;
    archive(witnesses, listing);
    save_answer(answer_kind, question, archive.bytes());
  }
  return listing;
}

}  // namespace layerhub::dispatch
