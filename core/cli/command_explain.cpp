// SPDX-License-Identifier: Apache-2.0
// layerhub explain LAYER: every kernel in the plugin directories that has the layer, and the rule by which it would
// serve on this machine or not: under a mapping file, or as the automatic mapping would choose. From metadata, and for
// those that pass it from the file itself, of which no code runs.
#include "base/json.hpp"
#include "base/reason.hpp"
#include "commands.hpp"
#include "dispatch/candidates.hpp"
#include "dispatch/decision.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <set>

namespace layerhub::cli {
namespace {

using dispatch::Candidate;

struct Question {
  Device device;
  Mode mode = Mode::inference;
  std::shared_ptr<const dispatch::Selection> selection;  // nullptr: no mapping is given
};

// Throws Error for what can't be asked.
Question question_of(const Options& options) {
  Question question{parse_device(options.device), parse_mode(options.mode), nullptr};
  if (const std::string fault = dispatch::request_fault(question.mode); !fault.empty()) {
    throw Error(make_reason(ErrorCode::invalid_argument, "mode", fmt::format("mode {}: {}", options.mode, fault)));
  }
  if (!options.mapping.empty()) {
    const Mapping mapping = read_mapping(options.mapping);
    dispatch::SelectionCache selections;
    question.selection = selections.select(options.subject, question.device, question.mode, *mapping.value()).selection;
  }
  return question;
}

std::set<std::string> serving(const std::vector<Candidate>& candidates) {
  std::set<std::string> repositories;
  for (const Candidate& candidate : candidates) {
    if (candidate.accepted) {
      repositories.insert(candidate.repo_id);
    }
  }
  return repositories;
}

// "cpu with AMD EPYC (x86-64 level 3)", or why it can't be described.
std::string described(Device device) {
  try {
    const DeviceInfo info = device_info(device);
    return fmt::format("{} with {} ({})", to_string(device), info.name, capability_text(info));
  } catch (const Error& error) {
    return error.reason().text;
  }
}

void print_people(const Options& options, const Question& question, const std::vector<Candidate>& candidates) {
  if (question.selection != nullptr || !candidates.empty()) {
    fmt::print("layer `{}` on {}\n\n", options.subject, described(question.device));
  }
  if (question.selection != nullptr) {
    fmt::print("{}\n", dispatch::text_of(question.selection->steps));
  }
  if (candidates.empty()) {
    return;
  }
  std::vector<std::vector<std::string>> rows{{"plugin", "library", "kernel", "rule", "on this machine"}};
  for (const Candidate& c : candidates) {
    rows.push_back({c.repo_id + "@" + c.revision, c.library, c.kernel, c.accepted ? "" : c.rule, c.text});
  }
  print_table(rows);
}

void print_machine(const Options& options, const Question& question, const std::vector<Candidate>& candidates) {
  Json json{{"layer", options.subject},
            {"device", to_string(question.device)},
            {"mode", to_string(question.mode)},
            {"candidates", Json::array()},
            {"ambiguous", question.selection == nullptr && serving(candidates).size() > 1}};
  for (const Candidate& candidate : candidates) {
    json["candidates"].push_back(dispatch::to_json(candidate));
  }
  if (question.selection != nullptr) {
    json["steps"] = dispatch::json_of(question.selection->steps);
  }
  fmt::print("{}\n", write_json(json));
}

}  // namespace

int explain(const Options& options) {
  Question question;
  try {
    question = question_of(options);
  } catch (const Error& error) {
    print_error(error.reason(), options.json);
    return error.code() == ErrorCode::invalid_argument ? 2 : 1;
  }
  const hub::Resolver hub = resolver(options);
  const std::vector<Candidate> candidates =
      dispatch::list_candidates(options.subject, question.device, question.mode, question.selection.get(), hub);
  options.json ? print_machine(options, question, candidates) : print_people(options, question, candidates);
  const std::size_t found = serving(candidates).size();
  if (question.selection == nullptr && found > 1) {
    fmt::print(stderr,
               "layerhub: several repositories have `{}`: the automatic mapping refuses to choose; remove one or name "
               "one in a mapping\n",
               options.subject);
  }
  if (found == 0) {
    fmt::print(stderr, "layerhub: no plugin serves `{}` on {} here; searched: {}\n", options.subject,
               to_string(question.device), hub::describe_roots(hub.roots()));
  }
  return found == 1 ? 0 : 1;
}

}  // namespace layerhub::cli
