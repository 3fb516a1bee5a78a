// SPDX-License-Identifier: Apache-2.0
// The plugin directories, in the order in which they are searched: those that the host names, LAYERHUB_PATH (colon
// separated), the user's data folder, the system's. Earlier ones win.
#pragma once

#include <boost/filesystem/path.hpp>

#include <map>
#include <string>
#include <vector>

namespace layerhub::hub {

struct Root {
  boost::filesystem::path path;
  std::string origin;   // "given by the host", "LAYERHUB_PATH", "the user's data folder", "the system"
  std::string ignored;  // why it is not searched: "there is no such directory"; empty: it is
};

// What the host named with set_plugin_roots. [thread-safe]
std::vector<std::string> explicit_roots();
void set_explicit_roots(std::vector<std::string> roots);

// Each directory once. A relative entry of LAYERHUB_PATH is ignored: it would mean another directory in each process.
std::vector<Root> plugin_roots(const std::vector<std::string>& given);

// The same for a pass over many layers, which asks the system once for each list. [one thread at a time]
class RootCache {
 public:
  const std::vector<Root>& of(const std::vector<std::string>& given);

 private:
  std::map<std::vector<std::string>, std::vector<Root>> known_;
};

// "/a (given by the host), /b (LAYERHUB_PATH: there is no such directory)", for messages.
std::string describe_roots(const std::vector<Root>& roots);

}  // namespace layerhub::hub
