// SPDX-License-Identifier: Apache-2.0
#include "base/witness.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace layerhub {
namespace {

constexpr std::int64_t settled_after_ns = 20'000'000;

}  // namespace

bool Witness::is_unchanged() const { return find_identity(path) == identity; }

std::vector<Witness> look_at_all(std::vector<boost::filesystem::path> paths) {
  std::vector<Witness> witnesses;
  witnesses.reserve(paths.size());
  for (boost::filesystem::path& path : paths) {
    const std::optional<FileIdentity> identity = find_identity(path);
    witnesses.push_back({std::move(path), identity});
  }
  return witnesses;
}

bool unchanged(const std::vector<Witness>& witnesses) {
  return std::all_of(witnesses.begin(), witnesses.end(), [](const Witness& w) { return w.is_unchanged(); });
}

std::int64_t settled_time_ns() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since_1970).count() - settled_after_ns;
}

}  // namespace layerhub
