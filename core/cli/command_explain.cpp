// SPDX-License-Identifier: Apache-2.0
// layerhub explain LAYER: which plugins have the layer, which of their kernels would serve it on this machine and
// why the others would not. From metadata alone: no library is opened.
#include "base/json.hpp"
#include "base/reason.hpp"
#include "commands.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace layerhub::cli {
namespace {

struct Candidate {
  std::string repo, library, kernel, verdict;  // verdict "": it would serve
};

void add_candidates(const hub::Found& plugin, const Options& options, const hub::SystemFacts& facts,
                    std::vector<Candidate>& all) {
  const std::string repo = plugin.repo_id + "@" + plugin.revision;
  if (!plugin.metadata) {
    return;
  }
  bool served = false;
  for (const hub::LibraryVerdict& verdict : hub::judge_libraries(plugin.metadata.value(), facts)) {
    bool here = false;
    for (const hub::KernelInfo& kernel : verdict.library->kernels) {
      if (kernel.layer != options.subject) {
        continue;
      }
      std::string reason = !plugin.misfit.empty() ? plugin.misfit : verdict.reason;
      if (reason.empty() && kernel.device != options.device) {
        reason = fmt::format("is for {}", kernel.device);
      }
      if (reason.empty() && served) {
        reason = "a library for a higher level serves";
      }
      here |= reason.empty();
      all.push_back({repo, verdict.library->file, kernel.implementation, reason});
    }
    served |= here;
  }
}

}  // namespace

int explain(const Options& options) {
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
