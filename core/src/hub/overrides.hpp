// SPDX-License-Identifier: Apache-2.0
// LAYERHUB_OVERRIDES: repositories that are taken from a folder of this machine whatever revision is asked for, as one
// does while working on a plugin.
//
//   LAYERHUB_OVERRIDES="org/name=/a/checkout;other/name=C:\builds\other"   entries, separated by ";"
//   LAYERHUB_OVERRIDES=/etc/layerhub/overrides                             a file: one entry a line, "#" comments
//
// Entries are split at ";" and at the first "=", so that paths with ":" survive. A path is a repository's folder, its
// `build` folder or a variant's.
#pragma once

#include "base/result.hpp"

#include <boost/filesystem/path.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace layerhub::hub {

using Overrides = std::map<std::string, boost::filesystem::path, std::less<>>;  // repo_id -> path

// `name` stands for the list in messages. Refused as invalid_argument, naming the entry and its line: one that is not
// repo_id=path, a repo_id that is none, one that stands twice, a path that is not there.
Result<Overrides> parse_overrides(std::string_view text, char separator, std::string_view name);

inline constexpr const char* overrides_variable = "LAYERHUB_OVERRIDES";

// The file that the variable names; nothing where it is unset or a list. [thread-safe]
std::optional<boost::filesystem::path> overrides_file();

// Those of the environment; none where it is unset, and in a privileged process. [thread-safe]
Result<Overrides> environment_overrides();

}  // namespace layerhub::hub
