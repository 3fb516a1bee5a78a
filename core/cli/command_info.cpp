// SPDX-License-Identifier: Apache-2.0
// layerhub info REPO[@REVISION]: the libraries of the variant that serves here, their kernels and what each takes.
#include "base/json.hpp"
#include "base/reason.hpp"
#include "commands.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <array>
#include <string_view>

namespace layerhub::cli {
namespace {

std::string_view kind_of(std::uint32_t kind) {
  constexpr std::array<std::string_view, 8> names{"", "input", "param", "output", "state", "saved", "int", "float"};
  return kind < names.size() ? names[kind] : "";
}

std::string arguments_of(const hub::KernelInfo& kernel) {
  std::vector<std::string> parts;
  for (const hub::Argument& argument : kernel.arguments) {
    parts.push_back(fmt::format("{} {}{}", kind_of(argument.kind), argument.name, argument.optional ? "?" : ""));
  }
  for (const hub::Attribute& attribute : kernel.attributes) {
    parts.push_back(fmt::format("attribute {}{}", attribute.name, attribute.required ? "" : "?"));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

Json json_of(const hub::LibraryVerdict& verdict) {
  Json kernels = Json::array();
  for (const hub::KernelInfo& kernel : verdict.library->kernels) {
    kernels.push_back({{"layer", kernel.layer},
                       {"implementation", kernel.implementation},
                       {"device", kernel.device},
                       {"training", kernel.has_backward},
                       {"arguments", arguments_of(kernel)}});
  }
  return {{"file", verdict.library->file},
          {"capability", verdict.library->capability},
          {"features", verdict.library->features},
          {"runtime", verdict.library->runtime.empty() ? Json() : Json(verdict.library->runtime)},
          {"refused", verdict.reason.empty() ? Json() : Json(verdict.reason)},
          {"kernels", kernels}};
}

}  // namespace

int info(const Options& options) {
  const hub::Resolver hub = resolver(options);
  Result<hub::RepositoryRef> ref = hub::parse_repository_ref(options.subject);
  if (!ref) {
    print_error(ref.error(), options.json);
    return 2;
  }
  if (ref.value().revision.empty()) {
    const std::vector<int> versions = hub.versions(ref.value().repo_id);
    ref.value().revision = versions.empty() ? "v1" : fmt::format("v{}", versions.back());
  }
  Result<hub::Resolved> resolved = hub.resolve(ref.value(), options.device);
  if (!resolved) {  // the runtime of a device is a plugin for the host
    Result<hub::Resolved> runtime = hub.resolve(ref.value(), "cpu");
    if (runtime && !runtime_types(runtime.value().metadata).empty()) {
      resolved = std::move(runtime);
    }
  }
  if (!resolved) {
    return print_error(resolved.error(), options.json);
  }
  const hub::Metadata& metadata = resolved.value().metadata;
  Json json{{"repo", metadata.repo},
            {"revision", metadata.revision},
            {"variant", resolved.value().variant},
            {"folder", resolved.value().folder.string()},
            {"license", metadata.license},
            {"libraries", Json::array()}};
  std::vector<std::vector<std::string>> rows{{"library", "here", "layer", "kernel", "takes"}};
  for (const hub::LibraryVerdict& verdict : hub::judge_libraries(metadata, hub.facts())) {
    json["libraries"].push_back(json_of(verdict));
    for (const hub::KernelInfo& kernel : verdict.library->kernels) {
      rows.push_back({verdict.library->file, verdict.reason.empty() ? "yes" : verdict.reason, kernel.layer,
                      kernel.implementation, arguments_of(kernel)});
    }
    if (!verdict.library->runtime.empty()) {
      rows.push_back({verdict.library->file, verdict.reason.empty() ? "yes" : verdict.reason, "", "",
                      runtime_text({verdict.library->runtime})});
    }
  }
  if (options.json) {
    fmt::print("{}\n", write_json(json));
    return 0;
  }
  fmt::print("{}@{}  {}  {}\n{}\n\n", metadata.repo, metadata.revision, resolved.value().variant, metadata.license,
             resolved.value().folder.string());
  print_table(rows);
  return 0;
}

}  // namespace layerhub::cli
