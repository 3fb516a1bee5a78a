// SPDX-License-Identifier: Apache-2.0
#include "hub/roots.hpp"

#include "base/os.hpp"
#include "base/reason.hpp"

#include <boost/filesystem/operations.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>

namespace layerhub::hub {
namespace {

namespace fs = boost::filesystem;

constexpr const char* system_folders[] = {"/usr/local/share/layerhub/plugins", "/usr/share/layerhub/plugins"};

class RootList {
 public:
  void add(const fs::path& path, const char* origin, bool may_be_relative) {
    Root root{path, origin, {}};
    if (path.empty()) {
      return;
    }
    if (path.is_relative() && !may_be_relative) {
      root.ignored = "it is not an absolute path";
    } else {
      root.path = (path.is_relative() ? fs::absolute(path) : path).lexically_normal();
      boost::system::error_code error;
      const fs::file_status status = fs::status(root.path, error);
      if (!fs::is_directory(status)) {
        root.ignored = fs::exists(status) ? "it is not a directory" : "there is no such directory";
      }
    }
    const auto same = [&](const Root& other) { return other.path == root.path; };
    if (std::none_of(roots.begin(), roots.end(), same)) {
      roots.push_back(std::move(root));
    }
  }

  std::vector<Root> roots;
};

struct HostRoots {
  std::mutex mutex;
  std::vector<std::string> roots;
};
HostRoots& host_roots() {
  static HostRoots& instance = *new HostRoots;
  return instance;
}

}  // namespace

std::vector<std::string> explicit_roots() {
  std::lock_guard lock(host_roots().mutex);
  return host_roots().roots;
}

void set_explicit_roots(std::vector<std::string> roots) {
  std::lock_guard lock(host_roots().mutex);
  host_roots().roots = std::move(roots);
}

std::vector<Root> plugin_roots(const std::vector<std::string>& given) {
  RootList list;
  for (const std::string& path : given) {
    list.add(path, "given by the host", true);
  }
  if (const std::optional<std::string> paths = secure_environment("LAYERHUB_PATH")) {
    for (std::size_t begin = 0; begin <= paths->size();) {
      const std::size_t end = std::min(paths->find(':', begin), paths->size());
      list.add(paths->substr(begin, end - begin), "LAYERHUB_PATH", false);
      begin = end + 1;
    }
  }
  if (const auto data = user_data_folder()) {
    list.add(data.value() / "layerhub" / "plugins", "the user's data folder", false);
  }
  for (const char* folder : system_folders) {
    list.add(folder, "the system", false);
  }
  return std::move(list.roots);
}

const std::vector<Root>& RootCache::of(const std::vector<std::string>& given) {
  const auto known = known_.find(given);
  return known != known_.end() ? known->second : known_.emplace(given, plugin_roots(given)).first->second;
}

std::string describe_roots(const std::vector<Root>& roots) {
  std::string text;
  for (const Root& root : roots) {
    text += fmt::format("{}{} ({}{}{})", text.empty() ? "" : ", ", printable(root.path.string()), root.origin,
                        root.ignored.empty() ? "" : ": ", root.ignored);
  }
  return text.empty() ? "nowhere" : text;
}

}  // namespace layerhub::hub
