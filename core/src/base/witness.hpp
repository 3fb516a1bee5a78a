// SPDX-License-Identifier: Apache-2.0
// What an answer was read from. An answer that was worked out before holds as long as each file and folder that it was
// read from is the same by stat, or still not there.
#pragma once

#include "base/archive.hpp"
#include "base/os.hpp"

#include <boost/filesystem/path.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace layerhub {

// A path that was looked at; nothing: there was nothing of that name.
struct Witness {
  boost::filesystem::path path;
  std::optional<FileIdentity> identity;

  bool is_unchanged() const;
  bool is_older_than(std::int64_t time_ns) const { return !identity || identity->ctime_ns < time_ns; }
};

std::vector<Witness> look_at_all(std::vector<boost::filesystem::path> paths);
bool unchanged(const std::vector<Witness>& witnesses);

// File systems stamp changes with a clock that ticks every few milliseconds: a second change that follows the first as
// closely may not show. What changed last before this time, now in nanoseconds since 1970, shows every later change.
std::int64_t settled_time_ns();

template <class Archive, same_value_as<FileIdentity> I>
void fields(Archive& archive, I& identity) {
  archive(identity.size, identity.mtime_ns, identity.ctime_ns, identity.inode, identity.device);
}
template <class Archive, same_value_as<Witness> W>
void fields(Archive& archive, W& witness) {
  archive(witness.path, witness.identity);
}

}  // namespace layerhub
