// SPDX-License-Identifier: Apache-2.0
// layerhub explain LAYER: which plugins have the layer, which of their kernels would serve it on this machine and
// why the others would not. From metadata, and for the one that would serve from the file itself, of which no code
// runs.
#include "base/json.hpp"
#include "base/reason.hpp"
#include "commands.hpp"
#include "device/device_types.hpp"
#include "plugin/library.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace layerhub::cli {
namespace {

struct Candidate {
  std::string repo, library, kernel, verdict;  // verdict "": it would serve
};

// Why a host would refuse the file before it opens it; empty: it would not.
std::string fault_of(const boost::filesystem::path& library) {
  const auto inspected = plugin::inspect_library(library);
  return inspected ? "" : inspected.error().text;
}

void add_candidates(const hub::Found& plugin, const Options& options, const hub::SystemFacts& facts,
                    std::vector<Candidate>& all) {
  const std::string repo = plugin.repo_id + "@" + plugin.revision;
  if (!plugin.metadata) {
    return;
  }
  bool chosen = false;  // the loader takes the best library by its metadata, and looks at no other after it
  for (const hub::LibraryVerdict& verdict : hub::judge_libraries(plugin.metadata.value(), facts)) {
    bool here = false;
    const std::string broken = plugin.misfit.empty() && verdict.reason.empty() && !chosen
                                   ? fault_of(plugin.folder / verdict.library->file)
                                   : "";
    for (const hub::KernelInfo& kernel : verdict.library->kernels) {
      if (kernel.layer != options.subject) {
        continue;
      }
      std::string reason = !plugin.misfit.empty() ? plugin.misfit : verdict.reason;
      if (reason.empty() && kernel.device != options.device) {
        reason = fmt::format("is for {}", kernel.device);
      }
      if (reason.empty() && chosen) {
        reason = "a library for a higher level is chosen";
      }
      if (reason.empty()) {
        reason = broken;
      }
      here |= reason.empty() || reason == broken;
      all.push_back({repo, verdict.library->file, kernel.implementation, reason});
    }
    chosen |= here;
  }
}

}  // namespace

int explain(const Options& options) {
  if (device::find_device_type(options.device) == nullptr) {
    fmt::print(stderr, "layerhub: device `{}`: it is not known; name one of {}\n", printable(options.device),
               device::known_device_types());
    return 2;
  }
  const hub::Resolver hub = resolver(options);
  std::vector<Candidate> all;
  for (const hub::Found& plugin : hub.scan()) {
    add_candidates(plugin, options, hub.facts(), all);
  }
  std::set<std::string> serving;
  Json json{{"layer", options.subject}, {"device", options.device}, {"candidates", Json::array()}};
  std::vector<std::vector<std::string>> rows{{"plugin", "library", "kernel", "on this machine"}};
  for (const Candidate& c : all) {
    rows.push_back({c.repo, c.library, c.kernel, c.verdict.empty() ? "serves" : c.verdict});
    json["candidates"].push_back({{"plugin", c.repo},
                                  {"library", c.library},
                                  {"kernel", c.kernel},
                                  {"refused", c.verdict.empty() ? Json() : Json(c.verdict)}});
    if (c.verdict.empty()) {
      serving.insert(c.repo.substr(0, c.repo.find('@')));
    }
  }
  json["ambiguous"] = serving.size() > 1;
  if (options.json) {
    fmt::print("{}\n", write_json(json));
  } else if (!all.empty()) {
    fmt::print("layer `{}` on {} with {} (x86-64 level {})\n\n", options.subject, options.device, hub.facts().cpu_name,
               hub.facts().cpu_capability);
    print_table(rows);
  }
  if (serving.size() > 1) {
    fmt::print(stderr,
               "layerhub: several repositories have `{}`: the automatic mapping refuses to choose; remove one or name "
               "one in the host\n",
               options.subject);
  }
  if (serving.empty()) {
    fmt::print(stderr, "layerhub: no plugin serves `{}` on {} here; searched: {}\n", options.subject, options.device,
               hub::describe_roots(hub.roots()));
  }
  return serving.size() == 1 ? 0 : 1;
}

}  // namespace layerhub::cli
