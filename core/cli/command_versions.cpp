// SPDX-License-Identifier: Apache-2.0
// layerhub versions REPO: its versions, and for each which variants fit this system and why the others do not.
#include "base/json.hpp"
#include "base/reason.hpp"
#include "commands.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace layerhub::cli {

int versions(const Options& options) {
  const hub::Resolver hub = resolver(options);
  if (!hub::is_repo_id(options.subject)) {
    print_error(make_reason(ErrorCode::invalid_argument, "repository",
                            fmt::format("repository `{}`: it is not of the form org/name", printable(options.subject))),
                options.json);
    return 2;
  }
  const std::vector<int> all = hub.versions(options.subject);
  if (all.empty()) {
    return print_error(
        make_reason(ErrorCode::not_found, "repository",
                    fmt::format("{}: no version of it is in a plugin directory; drop it into one", options.subject),
                    {{"searched", hub::describe_roots(hub.roots())}}),
        options.json);
  }
  Json json = Json::array();
  for (const int version : all) {
    hub::RepositoryRef ref;
    ref.repo_id = options.subject;
    ref.version = version;
    const Result<hub::Resolved> resolved = hub.resolve(ref, options.device);
    std::vector<std::string> trace;
    if (resolved) {
      trace = resolved.value().trace;
    } else {
      trace.push_back(resolved.error().text);
      for (const Fact& fact : resolved.error().facts) {
        trace.push_back(fact.value);
      }
    }
    json.push_back({{"version", version}, {"usable", resolved.has_value()}, {"trace", trace}});
    if (!options.json) {
      fmt::print("{}\n", version);
      for (const std::string& line : trace) {
        fmt::print("  {}\n", line);
      }
    }
  }
  if (options.json) {
    fmt::print("{}\n", write_json(json));
  }
  return 0;
}

}  // namespace layerhub::cli
