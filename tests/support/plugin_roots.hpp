// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hub/resolver.hpp"
#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <boost/filesystem/operations.hpp>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace layerhub::testing {

// Plugin directories of a test's own. Folders hold real metadata, with the names that the folders have.
class Roots {
 public:
  boost::filesystem::path add(const std::string& root, const std::string& repo, const std::string& revision,
                              const std::string& variant = "layerhub1-cpu-x86_64-linux") {
    const boost::filesystem::path folder = base() / root / repo / revision / "build" / variant;
    boost::filesystem::create_directories(folder);
    std::ifstream from(LAYERHUB_FAKES_ROOT "/twice.json");
    std::string text{std::istreambuf_iterator<char>(from), {}};
    replace(text, "\"repo\": \"fakes/twice\"", "\"repo\": \"" + repo + "\"");
    replace(text, "\"revision\": \"v1\"", "\"revision\": \"" + revision + "\"");
    std::ofstream((folder / "metadata.json").string()) << text;
    return folder;
  }

  const boost::filesystem::path& base() const { return base_.path(); }

  // The roots in the order in which they are searched.
  hub::Resolver resolver(const std::vector<std::string>& names) const {
    std::vector<hub::Root> roots;
    for (const std::string& name : names) roots.push_back({base() / name, "given by the host", ""});
    return {roots, hub::SystemFacts{}};  // x86_64, Linux, the first level
  }

 private:
  static void replace(std::string& text, const std::string& what, const std::string& by) {
    const std::size_t at = text.find(what);
    REQUIRE(at != std::string::npos);
    text.replace(at, what.size(), by);
  }
  TemporaryFolder base_;
};

}  // namespace layerhub::testing
