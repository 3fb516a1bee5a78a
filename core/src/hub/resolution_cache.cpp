// SPDX-License-Identifier: Apache-2.0
#include "hub/resolution_cache.hpp"

#include "base/os.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <mutex>
#include <utility>

namespace layerhub::hub {
namespace {

namespace fs = boost::filesystem;

constexpr std::size_t max_entries = 256;

// A path that a resolution looked at; nothing: there was nothing of that name.
struct Witness {
  fs::path path;
  std::optional<FileIdentity> identity;

  static std::optional<FileIdentity> look_at(const fs::path& path) {
    const Result<FileIdentity> found = file_identity(path);
    return found ? std::optional(found.value()) : std::nullopt;
  }
  bool is_unchanged() const { return look_at(path) == identity; }
};

struct Entry {
  std::string key;
  std::vector<Witness> witnesses;
  std::shared_ptr<const Resolved> resolved;
};

struct Cache {
  std::mutex mutex;
  std::list<Entry> entries;  // the one that served last in front
};
Cache& cache() {
  static Cache& instance = *new Cache;
  return instance;
}

std::string key_of(const Resolver& resolver, const RepositoryRef& ref, std::string_view device_type,
                   const DeviceFacts* device) {
  std::string key = fmt::format("{}\n{}\n{}\n", ref.text(), ref.version ? "version" : "", device_type);
  key += device == nullptr ? "-\n" : fmt::format("{} {}\n", device->capability, device->arch);
  key += secure_environment("LAYERHUB_OVERRIDES").value_or("") + "\n";
  for (const Root& root : resolver.roots()) {
    key += root.path.string();
    key += root.ignored.empty() ? '\n' : '\r';
  }
  for (const auto& runtime : resolver.facts().runtimes()) {
    key += runtime ? fmt::format("{}.{} ", runtime->major, runtime->minor) : "- ";
  }
  return key;
}

// Before the resolution, so that a change in between makes the entry stale and not wrong.
std::vector<Witness> witnesses_of(const Resolver& resolver, const RepositoryRef& ref) {
  std::vector<fs::path> paths;
  if (ref.lock_file) {
    paths.push_back(*ref.lock_file);
  }
  if (ref.local) {
    paths.push_back(*ref.local);
    paths.push_back(*ref.local / "build");
  } else {
    for (const Root& root : resolver.roots()) {
      if (root.ignored.empty()) {
        const fs::path repository = root.path / ref.repo_id, revision = repository / ref.revision_folder();
        for (const fs::path& path : {repository, revision, revision / "build"}) {
          paths.push_back(path);
        }
      }
    }
  }
  std::vector<Witness> witnesses;
  for (fs::path& path : paths) {
    const std::optional<FileIdentity> identity = Witness::look_at(path);
    witnesses.push_back({std::move(path), identity});
  }
  return witnesses;
}

std::shared_ptr<const Resolved> find(const std::string& key) {
  std::lock_guard lock(cache().mutex);
  std::list<Entry>& entries = cache().entries;
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.key == key; });
  if (found == entries.end()) {
    return nullptr;
  }
  if (!std::all_of(found->witnesses.begin(), found->witnesses.end(),
                   [](const Witness& w) { return w.is_unchanged(); })) {
    entries.erase(found);
    return nullptr;
  }
  entries.splice(entries.begin(), entries, found);
  return found->resolved;
}

}  // namespace

Result<std::shared_ptr<const Resolved>> resolve_cached(const Resolver& resolver, const RepositoryRef& ref,
                                                       std::string_view device_type, const DeviceFacts* device) {
  std::string key = key_of(resolver, ref, device_type, device);
  if (std::shared_ptr<const Resolved> known = find(key)) {
    return known;
  }
  std::vector<Witness> witnesses = witnesses_of(resolver, ref);
  BOOST_OUTCOME_TRY(Resolved fresh, resolver.resolve(ref, device_type, device));
  auto resolved = std::make_shared<const Resolved>(std::move(fresh));
  if (!resolved->notes.empty()) {
    return resolved;  // overrides and redirects look at more than is watched here, and are rare
  }
  const fs::path metadata = resolved->folder / "metadata.json";
  witnesses.push_back({metadata, Witness::look_at(metadata)});
  std::lock_guard lock(cache().mutex);
  cache().entries.push_front({std::move(key), std::move(witnesses), resolved});
  if (cache().entries.size() > max_entries) {
    cache().entries.pop_back();
  }
  return resolved;
}

}  // namespace layerhub::hub
