// SPDX-License-Identifier: Apache-2.0
// Which repository is meant: "org/name" at a revision or a version, or a path on this machine.
#pragma once

#include "base/result.hpp"

#include <boost/filesystem/path.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace layerhub::hub {

struct RepositoryRef {
  std::string repo_id;   // "org/name"; empty for a local repository
  std::string revision;  // exactly one of revision and version; version n is the branch "v<n>"
  std::optional<int> version;
  std::optional<boost::filesystem::path> local;        // the repository's folder, its `build` folder or one variant's
  std::optional<boost::filesystem::path> lock_file{};  // of the Hub's: it says the revision

  // The folder's name: the revision, or "v<n>".
  std::string revision_folder() const;
  // "org/name@v1", or the path.
  std::string text() const;
  bool operator==(const RepositoryRef&) const = default;
};

// Whether a part may be a folder's name: letters, digits, '-', '_' and '.', not beginning with '.'. So no name from
// outside can leave the directory that it is looked for in.
bool is_safe_name(std::string_view part);

// 40 lower-case hexadecimal digits.
bool is_commit(std::string_view text);

// "org/name" with both parts safe.
bool is_repo_id(std::string_view text);

// "org/name@revision"; without a revision the version is left open, which only listings accept.
Result<RepositoryRef> parse_repository_ref(std::string_view text);

// Refused as invalid_argument: a malformed id, both or neither of revision and version (none of them with a lock).
Result<void> check_repository_ref(const RepositoryRef& ref);

}  // namespace layerhub::hub
