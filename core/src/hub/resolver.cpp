// SPDX-License-Identifier: Apache-2.0
#include "hub/resolver.hpp"

#include "base/reason.hpp"
#include "hub/archs.hpp"
#include "hub/kernel_status.hpp"
#include "hub/lock_file.hpp"
#include "hub/revision_folders.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <boost/filesystem/operations.hpp>

#include <algorithm>
#include <charconv>
#include <set>
#include <tuple>

namespace layerhub::hub {
namespace {

namespace fs = boost::filesystem;

constexpr int max_redirects = 4;

std::string bare_library_hint(const fs::path& folder) {
  boost::system::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".so") {
      return fmt::format("; {} is a bare library: a plugin is the whole folder that layerhub_add_plugin lays out",
                         printable(entry->path().string()));
    }
  }
  return "";
}

// A local path may be the repository's folder (with build/ below), the build folder or a variant's own.
Result<std::pair<fs::path, std::vector<std::string>>> local_variants(const fs::path& given) {
  boost::system::error_code error;
  const fs::path path = fs::absolute(given, error).lexically_normal();
  if (!is_folder(path)) {
    return make_reason(ErrorCode::not_found, "repository",
                       fmt::format("{}: there is no such folder; give a repository's, its build folder or a variant's",
                                   printable(path.string(), 400)));
  }
  if (fs::exists(path / "metadata.json", error)) {
    const fs::path bare = path.filename() == "." ? path.parent_path() : path;
    return std::pair(bare.parent_path(), std::vector<std::string>{bare.filename().string()});
  }
  const fs::path build = is_folder(path / "build") ? path / "build" : path;
  return std::pair(build, folders_in(build));
}

}  // namespace

std::optional<int> version_of(std::string_view revision) {
  if (revision.size() < 2 || revision.size() > 9 || revision[0] != 'v' || (revision[1] == '0' && revision.size() > 2)) {
    return std::nullopt;
  }
  int version = 0;
  const char* end = revision.data() + revision.size();
  const auto read = std::from_chars(revision.data() + 1, end, version);
  return read.ec == std::errc() && read.ptr == end && version >= 0 ? std::optional(version) : std::nullopt;
}

std::vector<int> Resolver::versions(std::string_view repo_id) const {
  std::set<int> found;
  for (const Root& root : roots_) {
    if (root.ignored.empty() && is_repo_id(repo_id)) {
      for (const std::string& revision : folders_in(root.path / std::string(repo_id))) {
        if (const std::optional<int> version = version_of(revision)) {
          found.insert(*version);
        }
      }
    }
  }
  return {found.begin(), found.end()};
}

Reason Resolver::missing(const RepositoryRef& ref) const {
  std::set<std::string> revisions;
  std::string hint;
  for (const Root& root : roots_) {
    if (root.ignored.empty()) {
      for (std::string& revision : folders_in(root.path / ref.repo_id)) {
        revisions.insert(std::move(revision));
      }
      hint = hint.empty() ? bare_library_hint(root.path) : hint;
    }
  }
  if (ref.version && !revisions.empty()) {
    const std::vector<int> available = versions(ref.repo_id);
    return make_reason(ErrorCode::not_found, "repository",
                       fmt::format("{}: Version {} not found, available versions: {}", ref.repo_id, *ref.version,
                                   available.empty() ? "none" : fmt::format("{}", fmt::join(available, ", "))));
  }
  if (!revisions.empty()) {
    return make_reason(ErrorCode::not_found, "repository",
                       fmt::format("{}: there is no revision `{}`; there are {}", ref.repo_id, ref.revision,
                                   fmt::join(revisions, ", ")));
  }
  return make_reason(
      ErrorCode::not_found, "repository",
      fmt::format("{}: it is in no plugin directory; drop it into one of them{}", ref.text(), hint),
      {{"searched", describe_roots(roots_)}, {"network", "never asked: plugins come from directories alone"}});
}

Result<fs::path> Resolver::revision_folder(const RepositoryRef& ref) const {
  std::optional<fs::path> hollow;  // serves the message where no root has more
  for (const Root& root : roots_) {
    if (root.ignored.empty()) {
      const fs::path folder = root.path / ref.repo_id / ref.revision_folder();
      if (holds_revision(folder)) {
        return folder;
      }
      if (!hollow && is_folder(folder)) {
        hollow = folder;
      }
    }
  }
  return hollow ? Result<fs::path>(*hollow) : missing(ref);
}

// Ends at a repository that is overridden, too: what is in the roots does not count for it.
Result<RepositoryRef> Resolver::follow_redirects(RepositoryRef ref, const Overrides& overrides,
                                                 std::vector<std::string>& notes) const {
  for (int hops = 0; hops <= max_redirects; ++hops) {
    BOOST_OUTCOME_TRY(check_repository_ref(ref));
    if (overrides.contains(ref.repo_id)) {
      return ref;
    }
    BOOST_OUTCOME_TRY(const fs::path folder, revision_folder(ref));
    BOOST_OUTCOME_TRY(std::optional<RepositoryRef> moved, read_kernel_status(folder));
    if (!moved) {
      return ref;
    }
    notes.push_back(fmt::format("{} has moved to {}", ref.text(), moved->text()));
    ref = std::move(*moved);
  }
  return make_reason(ErrorCode::bad_metadata, "status",
                     fmt::format("{}: its redirects do not end within {} steps; name the repository where it is",
                                 ref.text(), max_redirects),
                     {{"redirects", fmt::format("{}", fmt::join(notes, "; "))}});
}

Result<Resolved> Resolver::resolve_override(const RepositoryRef& ref, const fs::path& path,
                                            std::string_view device_type, const DeviceFacts* device) const {
  BOOST_OUTCOME_TRY(auto local, local_variants(path));
  BOOST_OUTCOME_TRY(Resolved resolved,
                    resolve_from(ref, {std::move(local.first), std::move(local.second)}, device_type, device));
  if (resolved.metadata.repo != ref.repo_id) {
    return make_reason(ErrorCode::bad_metadata, "override",
                       fmt::format("LAYERHUB_OVERRIDES: {} holds {}, not {}; name the folder of the right repository",
                                   printable(path.string(), 400), resolved.metadata.repo, ref.repo_id));
  }
  resolved.notes.push_back(fmt::format("{} is overridden by LAYERHUB_OVERRIDES: {}", ref.repo_id, path.string()));
  return resolved;
}

Result<Resolved> Resolver::resolve_in_roots(const RepositoryRef& ref, std::string_view device_type,
                                            const DeviceFacts* device) const {
  BOOST_OUTCOME_TRY(const fs::path folder, revision_folder(ref));
  BOOST_OUTCOME_TRY(Resolved resolved,
                    resolve_from(ref, {folder / "build", folders_in(folder / "build")}, device_type, device));
  BOOST_OUTCOME_TRY(check_names(resolved.metadata, ref, resolved.folder));
  if (ref.version) {
    const std::vector<int> available = versions(ref.repo_id);
    if (!available.empty() && available.back() > *ref.version) {
      resolved.newer_version = available.back();
    }
  }
  return resolved;
}

Result<Resolved> Resolver::resolve(const RepositoryRef& given, std::string_view device_type,
                                   const DeviceFacts* device) const {
  BOOST_OUTCOME_TRY(check_repository_ref(given));
  if (given.local) {
    BOOST_OUTCOME_TRY(auto local, local_variants(*given.local));
    return resolve_from(given, {std::move(local.first), std::move(local.second)}, device_type, device);
  }
  BOOST_OUTCOME_TRY(const Overrides overrides, environment_overrides());
  RepositoryRef ref = given;
  if (given.lock_file && !overrides.contains(given.repo_id)) {
    BOOST_OUTCOME_TRY(const HubLocks locks, read_lock_file(*given.lock_file));
    BOOST_OUTCOME_TRY(ref.revision, locked_commit(locks, given.repo_id, printable(given.lock_file->string(), 400)));
    ref.lock_file.reset();
  }
  std::vector<std::string> notes;
  BOOST_OUTCOME_TRY(ref, follow_redirects(std::move(ref), overrides, notes));
  const auto overridden = overrides.find(ref.repo_id);
  BOOST_OUTCOME_TRY(Resolved resolved, overridden != overrides.end()
                                           ? resolve_override(ref, overridden->second, device_type, device)
                                           : resolve_in_roots(ref, device_type, device));
  resolved.notes.insert(resolved.notes.begin(), notes.begin(), notes.end());
  return resolved;
}

// The first variant in the order of preference whose name and archs fit.
Result<Resolved> Resolver::resolve_from(const RepositoryRef& ref, const Variants& variants,
                                        std::string_view device_type, const DeviceFacts* device) const {
  std::vector<VariantVerdict> verdicts = judge_variants(variants.names, facts_, device_type);
  Resolved resolved;
  resolved.ref = ref;
  for (VariantVerdict& verdict : verdicts) {
    if (!verdict.reason.empty()) {
      continue;
    }
    const fs::path folder = variants.build / verdict.name;
    BOOST_OUTCOME_TRY(Metadata metadata, read_metadata(folder));
    if (device != nullptr) {
      verdict.reason = archs_misfit(metadata.archs, device_type, device->capability, device->arch).value_or("");
    }
    if (verdict.reason.empty()) {
      resolved.variant = verdict.name;
      resolved.folder = folder;
      resolved.metadata = std::move(metadata);
      break;
    }
  }
  resolved.trace = trace_lines(verdicts);
  if (!resolved.variant.empty()) {
    return resolved;
  }
  std::vector<Fact> facts;
  for (const std::string& line : resolved.trace) {
    facts.push_back({"", line});
  }
  return make_reason(ErrorCode::no_variant, "variant",
                     verdicts.empty()
                         ? fmt::format("{}: {} holds no variant; install the plugin again", ref.text(),
                                       printable(variants.build.string(), 400))
                         : fmt::format("{}: none of its {} variants fits {} on this system; install a build for it",
                                       ref.text(), verdicts.size(), device_type),
                     std::move(facts));
}

}  // namespace layerhub::hub
