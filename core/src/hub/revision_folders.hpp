// SPDX-License-Identifier: Apache-2.0
// How the folders of a plugin directory are read, for a resolution and for a listing.
#pragma once

#include "hub/metadata.hpp"
#include "hub/repository_ref.hpp"

#include <boost/filesystem/path.hpp>

#include <string>
#include <vector>

namespace layerhub::hub {

bool is_folder(const boost::filesystem::path& path);

// The names of the folders below, sorted; none where it cannot be read. looked_at: gets what the result was read from.
std::vector<std::string> folders_in(const boost::filesystem::path& folder,
                                    std::vector<boost::filesystem::path>* looked_at = nullptr);

// What is left of one that was removed, or is being made, is no revision.
bool holds_revision(const boost::filesystem::path& folder);

// What stands in the folder's name must stand in the metadata too, or one repository could pass for another. A build
// can't know the commit that it will be part of: such a folder holds what its branch calls itself.
// Refused: bad_metadata.
Result<void> check_names(const Metadata& metadata, const RepositoryRef& ref, const boost::filesystem::path& folder);

}  // namespace layerhub::hub
