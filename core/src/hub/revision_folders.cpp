// SPDX-License-Identifier: Apache-2.0
#include "hub/revision_folders.hpp"

#include "base/reason.hpp"

#include <fmt/format.h>
#include <boost/filesystem/operations.hpp>

#include <algorithm>

namespace layerhub::hub {

namespace fs = boost::filesystem;

bool is_folder(const fs::path& path) {
  boost::system::error_code error;
  return fs::is_directory(path, error);
}

std::vector<std::string> folders_in(const fs::path& folder, std::vector<fs::path>* looked_at) {
  if (looked_at != nullptr) {
    looked_at->push_back(folder);
  }
  std::vector<std::string> names;
  boost::system::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    boost::system::error_code unreadable;
    const std::string name = entry->path().filename().string();
    if (!is_safe_name(name)) {
      continue;
    }
    if (fs::is_directory(entry->path(), unreadable)) {
      names.push_back(name);
    } else if (looked_at != nullptr &&  // what it leads to may become a folder without a change of this one
               fs::is_symlink(entry->path(), unreadable)) {
      looked_at->push_back(entry->path());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool holds_revision(const fs::path& folder) {
  boost::system::error_code error;
  return is_folder(folder / "build") || fs::exists(folder / "kernel-status.toml", error);
}

Result<void> check_names(const Metadata& metadata, const RepositoryRef& ref, const fs::path& folder) {
  if (ref.local || (metadata.repo == ref.repo_id &&
                    (metadata.revision == ref.revision_folder() || is_commit(ref.revision_folder())))) {
    return success();
  }
  return make_reason(
      ErrorCode::bad_metadata, "metadata",
      fmt::format("{}: its metadata is of {}@{}, the folder is {}'s; install the plugin again",
                  printable((folder / "metadata.json").string(), 400), metadata.repo, metadata.revision, ref.text()));
}

}  // namespace layerhub::hub
