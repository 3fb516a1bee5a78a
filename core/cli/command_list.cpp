// SPDX-License-Identifier: Apache-2.0
// layerhub list: every plugin in the plugin directories, with its layers, with the devices that it is a runtime for, or
// with what is wrong with it.
#include "base/json.hpp"
#include "base/reason.hpp"
#include "commands.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <set>

namespace layerhub::cli {
namespace {

std::set<std::string> layers_of(const hub::Metadata& metadata) {
  std::set<std::string> layers;
  for (const hub::LibraryInfo& library : metadata.libraries) {
    for (const hub::KernelInfo& kernel : library.kernels) {
      layers.insert(kernel.layer);
    }
  }
  return layers;
}

std::string state_of(const hub::Found& plugin) {
  return !plugin.misfit.empty() ? plugin.misfit : plugin.metadata ? "" : plugin.metadata.error().text;
}

}  // namespace

int list(const Options& options) {
  const hub::Resolver hub = resolver(options);
  const std::vector<hub::Found> found = hub.scan();
  bool broken = false;
  Json json = Json::array();
  std::vector<std::vector<std::string>> rows{{"repository", "revision", "variant", "layers"}};
  for (const hub::Found& plugin : found) {
    const std::string state = state_of(plugin);
    broken |= !plugin.metadata;
    using Names = std::set<std::string>;
    const Names layers = plugin.metadata ? layers_of(plugin.metadata.value()) : Names{};
    const Names runtimes = plugin.metadata ? runtime_types(plugin.metadata.value()) : Names{};
    rows.push_back({plugin.repo_id, plugin.revision, plugin.variant,
                    !state.empty()    ? "- " + state
                    : !layers.empty() ? fmt::format("{}", fmt::join(layers, ", "))
                                      : runtime_text(runtimes)});
    json.push_back({{"repo", plugin.repo_id},
                    {"revision", plugin.revision},
                    {"variant", plugin.variant},
                    {"folder", plugin.folder.string()},
                    {"layers", layers},
                    {"runtimes", runtimes},
                    {"refused", state.empty() ? Json() : Json(state)}});
  }
  if (options.json) {
    fmt::print("{}\n", write_json(json));
  } else if (!found.empty()) {
    print_table(rows);
  }
  if (found.empty()) {
    fmt::print(stderr, "layerhub: no plugin is there; drop one into a plugin directory. Searched: {}\n",
               hub::describe_roots(hub.roots()));
  }
  return found.empty() || broken ? 1 : 0;
}

}  // namespace layerhub::cli
