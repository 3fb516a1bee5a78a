// SPDX-License-Identifier: Apache-2.0
#include "hub/lock_file.hpp"

#include "base/json.hpp"
#include "base/os.hpp"
#include "base/reason.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <initializer_list>

namespace layerhub::hub {
namespace {

// Thrown while reading and turned into the Result by parse_lock_file.
struct Wrong {
  std::string field, fact;
};

void check_object(const Json& value, const std::string& field, std::initializer_list<std::string_view> known) {
  if (!value.is_object()) {
    throw Wrong{field, "it is not an object"};
  }
  for (const auto& [name, ignored] : value.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw Wrong{field, fmt::format("the field `{}` is unknown", printable(name))};
    }
  }
}

std::string text_at(const Json& object, const char* name, const std::string& field) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) {
    throw Wrong{field + "." + name, "it is missing or not a text"};
  }
  return found->get<std::string>();
}

std::string repo_at(const Json& object, const char* name, const std::string& field) {
  std::string repo_id = text_at(object, name, field);
  if (!is_repo_id(repo_id)) {
    throw Wrong{field + "." + name, fmt::format("`{}` is not of the form org/name", printable(repo_id))};
  }
  return repo_id;
}

std::string commit_at(const Json& object, const char* name, const std::string& field) {
  std::string commit = text_at(object, name, field);
  if (!is_commit(commit)) {
    throw Wrong{field + "." + name,
                fmt::format("`{}` is no commit, which has 40 hexadecimal digits", printable(commit))};
  }
  return commit;
}

Dependency dependency_at(const Json& object, const std::string& field) {
  check_object(object, field, {"repo-id", "version", "revision"});
  Dependency dependency{repo_at(object, "repo-id", field)};
  if (object.contains("version") == object.contains("revision")) {
    throw Wrong{field, fmt::format("it has {} version and revision; one of them is needed",
                                   object.contains("version") ? "both" : "neither")};
  }
  if (object.contains("revision")) {
    dependency.revision = text_at(object, "revision", field);
    if (dependency.revision.empty()) {
      throw Wrong{field + ".revision", "it is empty"};
    }
    return dependency;
  }
  const Json& version = object["version"];
  if (!version.is_number_unsigned() || version.get<std::uint64_t>() > 1'000'000) {
    throw Wrong{field + ".version", "it is not a whole number from 0"};
  }
  dependency.version = version.get<int>();
  return dependency;
}

std::pair<Dependency, std::string> entry_at(const Json& entry, const std::string& field) {
  if (entry.is_object() && entry.contains("repo_id")) {  // the older form
    check_object(entry, field, {"repo_id", "sha", "variants"});
    return {Dependency{repo_at(entry, "repo_id", field)}, commit_at(entry, "sha", field)};
  }
  check_object(entry, field, {"dependency", "lock"});
  for (const char* needed : {"dependency", "lock"}) {
    if (!entry.contains(needed)) {
      throw Wrong{field, fmt::format("`{}` is missing", needed)};
    }
  }
  check_object(entry["lock"], field + ".lock", {"commit"});
  return {dependency_at(entry["dependency"], field + ".dependency"),
          commit_at(entry["lock"], "commit", field + ".lock")};
}

HubLocks read_root(const Json& root) {
  if (!root.is_array()) {
    throw Wrong{"the whole", "it is not a list"};
  }
  HubLocks locks;
  for (std::size_t i = 0; i < root.size(); ++i) {
    const std::string field = fmt::format("[{}]", i);
    if (!locks.insert(entry_at(root[i], field)).second) {
      throw Wrong{field, "a lock of the same dependency stands before it"};
    }
  }
  return locks;
}

}  // namespace

Result<HubLocks> parse_lock_file(std::string_view text, std::string_view name) {
  BOOST_OUTCOME_TRY(const Json json, parse_json(text, name));
  try {
    return read_root(json);
  } catch (const Wrong& wrong) {
    return make_reason(ErrorCode::bad_metadata, "lock",
                       fmt::format("{}: {}: {}; lock the kernels again", name, wrong.field, wrong.fact));
  }
}

Result<HubLocks> read_lock_file(const boost::filesystem::path& file) {
  BOOST_OUTCOME_TRY(const std::string text, read_file(file, JsonLimits{}.bytes));
  return parse_lock_file(text, printable(file.string(), 400));
}

std::string write_lock_file(const HubLocks& locks) {
  Json list = Json::array();
  for (const auto& [dependency, commit] : locks) {
    Json named{{"repo-id", dependency.repo_id}};
    if (dependency.version) {
      named["version"] = *dependency.version;
    } else {
      named["revision"] = dependency.revision.empty() ? commit : dependency.revision;  // the older form knows no other
    }
    list.push_back({{"dependency", std::move(named)}, {"lock", {{"commit", commit}}}});
  }
  return write_json(list);
}

Result<std::string> locked_commit(const HubLocks& locks, std::string_view repo_id, std::string_view name) {
  const std::string* commit = nullptr;
  for (const auto& [dependency, locked] : locks) {
    if (dependency.repo_id == repo_id) {
      if (commit != nullptr && *commit != locked) {
        return make_reason(ErrorCode::ambiguous, "lock",
                           fmt::format("Kernel `{}` is locked more than once in {}; keep one version", repo_id, name));
      }
      commit = &locked;
    }
  }
  if (commit == nullptr) {
    return make_reason(ErrorCode::not_found, "lock",
                       fmt::format("Kernel `{}` is not locked in {}; lock it", printable(repo_id), name));
  }
  return *commit;
}

}  // namespace layerhub::hub
