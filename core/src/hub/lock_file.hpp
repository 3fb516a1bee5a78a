// SPDX-License-Identifier: Apache-2.0
// kernels.lock, the Hub's: which commit each dependency is pinned to.
//
//   [{"dependency": {"repo-id": "org/name", "version": 1}, "lock": {"commit": "<40 hexadecimal digits>"}}]
//
// A dependency has a version or a revision. Read as well, never written: the Hub's older form, a list of {"repo_id",
// "sha", "variants"}. A commit is a revision like any other: <root>/<org>/<name>/<commit>/build/...
#pragma once

#include "hub/repository_ref.hpp"

#include "base/result.hpp"

#include <boost/filesystem/path.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

namespace layerhub::hub {

struct Dependency {
  std::string repo_id;
  std::optional<int> version{};
  std::string revision{};  // where there is no version; empty in the older form, which says neither

  auto key() const { return std::tie(repo_id, version, revision); }
  bool operator<(const Dependency& other) const { return key() < other.key(); }
  bool operator==(const Dependency& other) const { return key() == other.key(); }
};

// Sorted, so that a lock does not depend on the order in which it was made.
using HubLocks = std::map<Dependency, std::string>;  // -> commit

// Refused as bad_metadata, naming file and entry: what is not a list, an unknown field, both or neither of version and
// revision, a commit that is none, a dependency that stands twice.
Result<HubLocks> parse_lock_file(std::string_view text, std::string_view name);
Result<HubLocks> read_lock_file(const boost::filesystem::path& file);
std::string write_lock_file(const HubLocks& locks);

// The commit of a repository. Refused as not_found: "Kernel `R` is not locked"; as ambiguous where the lock has several
// versions of it.
Result<std::string> locked_commit(const HubLocks& locks, std::string_view repo_id, std::string_view name);

}  // namespace layerhub::hub
