// SPDX-License-Identifier: Apache-2.0
// Everything that is in the plugin directories.
#include "hub/resolver.hpp"
#include "hub/revision_folders.hpp"

#include <algorithm>
#include <set>
#include <tuple>

namespace layerhub::hub {
namespace {

namespace fs = boost::filesystem;

void note(std::vector<fs::path>* looked_at, const fs::path& path) {
  if (looked_at != nullptr) {
    looked_at->push_back(path);
  }
}

bool version_less(const std::string& a, const std::string& b) {
  const std::optional<int> va = version_of(a), vb = version_of(b);
  return va && vb ? *va < *vb : std::tuple(!va, a) < std::tuple(!vb, b);
}

// Every revision of every repository below a root.
std::vector<RepositoryRef> revisions_in(const fs::path& root, std::vector<fs::path>* looked_at) {
  std::vector<RepositoryRef> refs;
  for (const std::string& org : folders_in(root, looked_at)) {
    for (const std::string& name : folders_in(root / org, looked_at)) {
      for (const std::string& revision : folders_in(root / org / name, looked_at)) {
        RepositoryRef& ref = refs.emplace_back();
        ref.repo_id = org + "/" + name;
        ref.revision = revision;
      }
    }
  }
  return refs;
}

}  // namespace

void Resolver::scan_revision(const fs::path& root, const RepositoryRef& ref, std::vector<Found>& all,
                             std::vector<fs::path>* looked_at) const {
  const fs::path build = root / ref.repo_id / ref.revision / "build";
  for (const std::string& variant : folders_in(build, looked_at)) {
    Result<Metadata> metadata = read_metadata(build / variant);
    note(looked_at, build / variant / "metadata.json");
    if (!metadata) {
      note(looked_at, build / variant);  // the refusal may name what else is there
    }
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

std::vector<Found> Resolver::scan(std::vector<fs::path>* looked_at) const {
  std::vector<Found> all;
  std::set<std::string> seen;  // "org/name@revision": the first root that has it wins
  for (const Root& root : roots_) {
    if (root.ignored.empty()) {
      for (const RepositoryRef& ref : revisions_in(root.path, looked_at)) {
        const fs::path folder = root.path / ref.repo_id / ref.revision;
        if (!holds_revision(folder)) {
          note(looked_at, folder);
          note(looked_at, folder / "build");
        } else if (seen.insert(ref.text()).second) {
          scan_revision(root.path, ref, all, looked_at);
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
