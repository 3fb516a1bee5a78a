// SPDX-License-Identifier: Apache-2.0
// kernel-status.toml in a revision's folder: the repository has moved.
//
//   kind = "redirect"
//   destination = "org/other-name"
//   revision = "v1"              # "main" where it is left out
#pragma once

#include "hub/repository_ref.hpp"

#include "base/result.hpp"

#include <boost/filesystem/path.hpp>

#include <optional>

namespace layerhub::hub {

// Where the repository of this revision's folder has moved; nothing: it has no such file. Refused as bad_metadata,
// naming file and key: a kind that is missing or unknown, a destination that is missing or not of the form org/name.
Result<std::optional<RepositoryRef>> read_kernel_status(const boost::filesystem::path& revision_folder);

Result<RepositoryRef> parse_kernel_status(std::string_view text, std::string_view name);

}  // namespace layerhub::hub
