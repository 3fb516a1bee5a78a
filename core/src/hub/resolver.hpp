// SPDX-License-Identifier: Apache-2.0
// The one way in to hub: a repository goes in, the folder of a fitting variant with its metadata comes out, or the
// Reason why there is none. No library is opened. Directories are read anew each time: a dropped-in plugin is
// there at once.
//
//   <root>/<org>/<name>/<revision>/build/<variant>/{metadata.json, *.so}
//
// Folders whose names begin with a dot are not looked at: a plugin is published by renaming its staging folder.
//
// What wins, in this order: LAYERHUB_OVERRIDES, whatever revision is asked for; then the roots, the first that has the
// revision: a folder with build/ or kernel-status.toml. A kernel-status.toml in the revision's folder sends the search
// to another repository, which is held to the same rules as if it had been named.
#pragma once

#include "hub/metadata.hpp"
#include "hub/overrides.hpp"
#include "hub/repository_ref.hpp"
#include "hub/roots.hpp"
#include "hub/system_facts.hpp"
#include "hub/variant.hpp"

#include "base/result.hpp"

#include <boost/filesystem/path.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::hub {

struct Resolved {
  RepositoryRef ref;               // as it was asked for; of a redirect, where it ends
  boost::filesystem::path folder;  // of the variant
  std::string variant;
  Metadata metadata;
  std::vector<std::string> trace;    // one line for each variant that was there
  std::optional<int> newer_version;  // where a version was asked for and a higher one is there
  std::vector<std::string> notes{};  // "overridden by LAYERHUB_OVERRIDES: ...", "a@v1 has moved to b@main"
  bool operator==(const Resolved&) const = default;
};

// One variant's folder as a listing shows it.
struct Found {
  std::string repo_id, revision, variant;
  boost::filesystem::path folder;
  std::string misfit;  // why this system can't use it for any of its devices; empty: it can
  Result<Metadata> metadata;
};

class Resolver {
 public:
  Resolver(std::vector<Root> roots, SystemFacts facts) : roots_(std::move(roots)), facts_(std::move(facts)) {}

  // device: refuses builds whose archs do not include it; nullptr: archs are not looked at.
  // Refused: invalid_argument, not_found (with what is there instead), no_variant (with the trace), bad_metadata (also
  // where the metadata names another repository or revision than its folder). [thread-safe]
  Result<Resolved> resolve(const RepositoryRef& ref, std::string_view device_type,
                           const DeviceFacts* device = nullptr) const;

  // Every variant of every repository in the roots, sorted by repository, revision (versions by number) and variant. Of
  // one repository and revision in several roots the first root's. looked_at: gets every path that the result was read
  // from, those included at which there was nothing. [thread-safe]
  std::vector<Found> scan(std::vector<boost::filesystem::path>* looked_at = nullptr) const;

  // The ids of all repositories in the roots, sorted, each once. No metadata is read. [thread-safe]
  std::vector<std::string> repositories() const;

  // The n of the branches v<n> of a repository, ascending. [thread-safe]
  std::vector<int> versions(std::string_view repo_id) const;

  const std::vector<Root>& roots() const noexcept { return roots_; }
  const SystemFacts& facts() const noexcept { return facts_; }

 private:
  struct Variants {
    boost::filesystem::path build;
    std::vector<std::string> names;
  };

  Result<Resolved> resolve_from(const RepositoryRef& ref, const Variants& variants, std::string_view device_type,
                                const DeviceFacts* device) const;
  Result<Resolved> resolve_override(const RepositoryRef& ref, const boost::filesystem::path& path,
                                    std::string_view device_type, const DeviceFacts* device) const;
  Result<Resolved> resolve_in_roots(const RepositoryRef& ref, std::string_view device_type,
                                    const DeviceFacts* device) const;
  Result<RepositoryRef> follow_redirects(RepositoryRef ref, const Overrides& overrides,
                                         std::vector<std::string>& notes) const;
  Result<boost::filesystem::path> revision_folder(const RepositoryRef& ref) const;
  Reason missing(const RepositoryRef& ref) const;
  void scan_revision(const boost::filesystem::path& root, const RepositoryRef& ref, std::vector<Found>& all,
                     std::vector<boost::filesystem::path>* looked_at) const;

  std::vector<Root> roots_;
  SystemFacts facts_;
};

// "v12" -> 12; nothing for any other text, "v012" included.
std::optional<int> version_of(std::string_view revision);

}  // namespace layerhub::hub
