// SPDX-License-Identifier: Apache-2.0
#include "hub/resolution_cache.hpp"

#include "base/os.hpp"
#include "base/saved_answers.hpp"
#include "base/witness.hpp"
#include "hub/metadata_archive.hpp"
#include "hub/overrides.hpp"

#include <fmt/format.h>
#include <boost/filesystem/operations.hpp>

#include <algorithm>
#include <list>
#include <mutex>
#include <string_view>
#include <utility>

namespace layerhub::hub {
namespace {

namespace fs = boost::filesystem;

constexpr std::size_t max_entries = 256;
constexpr std::string_view answer_kind = "resolution";

struct Entry {
  std::string key;
  std::vector<Witness> witnesses;
  std::shared_ptr<const Resolved> resolved;
};
using Entries = std::list<std::shared_ptr<const Entry>>;

struct Cache {
  std::mutex mutex;
  Entries entries;  // the one that served last in front

  Entries::iterator find(const std::string& key) {
    return std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return entry->key == key; });
  }
};
Cache& cache() {
  static Cache& instance = *new Cache;
  return instance;
}

// Whether some path of the question is to be read from the working folder.
bool depends_on_working_folder(const Resolver& resolver, const RepositoryRef& ref, const std::string& overrides) {
  const auto is_relative = [](const std::optional<fs::path>& path) { return path && path->is_relative(); };
  return !overrides.empty() || is_relative(ref.local) || is_relative(ref.lock_file) ||
         std::any_of(resolver.roots().begin(), resolver.roots().end(),
                     [](const Root& root) { return root.path.is_relative(); });
}

// Everything but files that an answer depends on, each part ended by a NUL, which no path has.
std::string key_of(const Resolver& resolver, const RepositoryRef& ref, std::string_view device_type,
                   const DeviceFacts* device) {
  std::string key;
  const auto add = [&](std::string_view part) { key.append(part).push_back('\0'); };
  boost::system::error_code error;
  add(ref.local ? "local" : ref.lock_file ? "locked" : ref.version ? "version" : "revision");
  add(ref.text());
  const std::string overrides = secure_environment(overrides_variable).value_or("");
  add(depends_on_working_folder(resolver, ref, overrides) ? fs::current_path(error).native() : "");
  add(device_type);
  add(device == nullptr ? "" : fmt::format("{} {}", device->capability, device->arch));
  add(overrides);
  const SystemFacts& facts = resolver.facts();
  add(facts.cpu_arch);
  add(facts.os);
  for (const auto& runtime : facts.runtimes()) {
    add(runtime ? fmt::format("{}.{}", runtime->major, runtime->minor) : "");
  }
  for (const Root& root : resolver.roots()) {
    if (root.ignored.empty()) {
      add(root.path.native());
    }
  }
  return key;
}

// The folders and files that decide which build folder serves `ref`; with a lock file, the commit's own are not known
// yet.
std::vector<fs::path> paths_of(const Resolver& resolver, const RepositoryRef& ref) {
  std::vector<fs::path> paths;
  if (ref.local) {
    paths.push_back(*ref.local);
    paths.push_back(*ref.local / "build");
  } else {
    for (const Root& root : resolver.roots()) {
      if (root.ignored.empty()) {
        const fs::path repository = root.path / ref.repo_id;
        paths.push_back(repository);
        if (!ref.lock_file) {
          const fs::path revision = repository / ref.revision_folder();
          paths.push_back(revision);
          paths.push_back(revision / "build");
        }
      }
    }
  }
  if (ref.lock_file) {
    paths.push_back(*ref.lock_file);
  }
  if (const std::optional<fs::path> file = overrides_file()) {
    paths.push_back(*file);
  }
  return paths;
}

// With the paths that are known only after a resolution: those of a locked commit, and the metadata of the variants.
std::vector<fs::path> paths_of(const Resolver& resolver, const RepositoryRef& ref, const Resolved& resolved) {
  std::vector<fs::path> paths = paths_of(resolver, ref);
  if (ref.lock_file) {
    const std::vector<fs::path> commit = paths_of(resolver, resolved.ref);
    paths.insert(paths.end(), commit.begin(), commit.end());
  }
  boost::system::error_code error;
  for (fs::directory_iterator variant(resolved.folder.parent_path(), error), end; !error && variant != end;
       variant.increment(error)) {
    paths.push_back(variant->path() / "metadata.json");
  }
  return paths;
}

// The files are asked without the lock: a folder may be on a slow network.
std::shared_ptr<const Resolved> find(const std::string& key) {
  std::shared_ptr<const Entry> entry;
  {
    std::lock_guard lock(cache().mutex);
    const auto found = cache().find(key);
    if (found == cache().entries.end()) {
      return nullptr;
    }
    cache().entries.splice(cache().entries.begin(), cache().entries, found);
    entry = *found;
  }
  return unchanged(entry->witnesses) ? entry->resolved : nullptr;
}

// In place of the one of the same key, if there is one.
void remember(const std::shared_ptr<const Entry>& entry) {
  std::lock_guard lock(cache().mutex);
  if (const auto stale = cache().find(entry->key); stale != cache().entries.end()) {
    cache().entries.erase(stale);
  }
  cache().entries.push_front(entry);
  if (cache().entries.size() > max_entries) {
    cache().entries.pop_back();
  }
}

// What another process found out and is still so.
std::shared_ptr<const Resolved> find_saved(const std::string& key) {
  const std::optional<std::string> answer = find_answer(answer_kind, key);
  if (!answer) {
    return nullptr;
  }
  auto entry = std::make_shared<Entry>();
  auto resolved = std::make_shared<Resolved>();
  ArchiveReader archive(*answer);
  archive(entry->witnesses, *resolved);
  if (!archive.is_complete() || !unchanged(entry->witnesses)) {
    return nullptr;
  }
  entry->key = key;
  entry->resolved = std::move(resolved);
  remember(entry);
  return entry->resolved;
}

void save(const Entry& entry) {
  ArchiveWriter archive;
  archive(entry.witnesses, *entry.resolved);
  save_answer(answer_kind, entry.key, archive.bytes());
}

}  // namespace

Result<std::shared_ptr<const Resolved>> resolve_cached(const Resolver& resolver, const RepositoryRef& ref,
                                                       std::string_view device_type, const DeviceFacts* device) {
  std::string key = key_of(resolver, ref, device_type, device);
  if (std::shared_ptr<const Resolved> known = find(key)) {
    return known;
  }
  if (std::shared_ptr<const Resolved> known = find_saved(key)) {
    return known;
  }
  // A change while it is read is younger than `settled`; one folder exchanged for another old one shows in `before`.
  const std::int64_t settled = settled_time_ns();
  const std::vector<Witness> before = look_at_all(paths_of(resolver, ref));
  BOOST_OUTCOME_TRY(Resolved fresh, resolver.resolve(ref, device_type, device));
  auto resolved = std::make_shared<const Resolved>(std::move(fresh));
  if (!resolved->notes.empty()) {
    return resolved;  // overrides and redirects look at more than is watched here, and are rare
  }
  std::vector<Witness> witnesses = look_at_all(paths_of(resolver, ref, *resolved));
  const auto is_settled = [&](const Witness& w) { return w.is_older_than(settled); };
  if (std::all_of(witnesses.begin(), witnesses.end(), is_settled) && unchanged(before)) {
    const auto entry = std::make_shared<const Entry>(Entry{std::move(key), std::move(witnesses), resolved});
    remember(entry);
    save(*entry);
  }
  return resolved;
}

}  // namespace layerhub::hub
