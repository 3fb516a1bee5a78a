// SPDX-License-Identifier: Apache-2.0
#include "hub/resolver.hpp"

#include "base/reason.hpp"
#include "hub/archs.hpp"
#include "hub/kernel_status.hpp"
#include "hub/lock_file.hpp"

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

// The names of the folders below, sorted; none where it cannot be read.
std::vector<std::string> folders_in(const fs::path& folder) {
  std::vector<std::string> names;
  boost::system::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    boost::system::error_code unreadable;
    const std::string name = entry->path().filename().string();
    if (is_safe_name(name) && fs::is_directory(entry->path(), unreadable)) {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool is_folder(const fs::path& path) {
  boost::system::error_code error;
  return fs::is_directory(path, error);
}

// What is left of one that was removed, or is being made, is no revision.
bool holds_revision(const fs::path& folder) {
  boost::system::error_code error;
  return is_folder(folder / "build") || fs::exists(folder / "kernel-status.toml", error);
}

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

bool version_less(const std::string& a, const std::string& b) {
  const std::optional<int> va = version_of(a), vb = version_of(b);
  return va && vb ? *va < *vb : std::tuple(!va, a) < std::tuple(!vb, b);
}

// Every revision of every repository below a root.
std::vector<RepositoryRef> revisions_in(const fs::path& root) {
  std::vector<RepositoryRef> refs;
  for (const std::string& org : folders_in(root)) {
    for (const std::string& name : folders_in(root / org)) {
      for (const std::string& revision : folders_in(root / org / name)) {
        RepositoryRef& ref = refs.emplace_back();
        ref.repo_id = org + "/" + name;
        ref.revision = revision;
      }
    }
  }
  return refs;
}

// What stands in the folder's name must stand in the metadata too, or one repository could pass for another. A build
// can't know the commit that it will be part of: such a folder holds what its branch calls itself.
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

void Resolver::scan_revision(const fs::path& root, const RepositoryRef& ref, std::vector<Found>& all) const {
  const fs::path build = root / ref.repo_id / ref.revision / "build";
  for (const std::string& variant : folders_in(build)) {
    Result<Metadata> metadata = read_metadata(build / variant);
    if (metadata) {
      if (Result<void> same = check_names(metadata.value(), ref, build / variant); !same) {
        metadata = same.error();
      }
    }
    std::string reason;
    if (const Result<Variant> parsed = parse_variant(variant); !parsed) {
      reason = parsed.error().text;
    } else {
      reason = misfit(parsed.value(), facts_, metadata ? metadata.value().backend : "cpu").value_or("");
    }
    all.push_back({ref.repo_id, ref.revision, variant, build / variant, std::move(reason), std::move(metadata)});
  }
}

std::vector<std::string> Resolver::repositories() const {
  std::set<std::string> ids;
  for (const Root& root : roots_) {
    if (root.ignored.empty()) {
      for (const std::string& org : folders_in(root.path)) {
        for (const std::string& name : folders_in(root.path / org)) {
          ids.insert(org + "/" + name);
        }
      }
    }
  }
  return {ids.begin(), ids.end()};
}

std::vector<Found> Resolver::scan() const {
  std::vector<Found> all;
  std::set<std::string> seen;  // "org/name@revision": the first root that has it wins
  for (const Root& root : roots_) {
    if (root.ignored.empty()) {
      for (const RepositoryRef& ref : revisions_in(root.path)) {
        if (holds_revision(root.path / ref.repo_id / ref.revision) && seen.insert(ref.text()).second) {
          scan_revision(root.path, ref, all);
        }
      }
    }
  }
  std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) {
    if (a.repo_id != b.repo_id) {
      return a.repo_id < b.repo_id;
    }
    return a.revision != b.revision ? version_less(a.revision, b.revision) : a.variant < b.variant;
  });
  return all;
}

}  // namespace layerhub::hub
