// SPDX-License-Identifier: Apache-2.0
#include "dispatch/plugin_listing.hpp"

#include "support/catch.hpp"
#include "support/plugin_roots.hpp"
#include "support/scratch_cache.hpp"

using namespace layerhub;
using dispatch::list_plugins;
using layerhub::testing::Roots;
using layerhub::testing::ScratchCache;
using layerhub::testing::settle;
using layerhub::testing::times_opened;

namespace fs = boost::filesystem;

namespace {

// "org/a@v1 org/b@v1": who claims the fakes' first layer.
std::string claims(const Roots& roots) {
  std::string text;
  const dispatch::PluginListing listing = list_plugins(roots.resolver({"root", "second"}));
  if (!listing.layers.empty()) {
    for (const dispatch::Claim& claim : listing.layers[0].claims) {
      text += (text.empty() ? "" : " ") + claim.repo_id + "@" + claim.revision;
    }
  }
  return text;
}

}  // namespace

TEST_CASE("plugins that were listed before are listed again without reading their metadata") {
  const ScratchCache cache;
  Roots roots;
  roots.add("root", "org/a", "v1");
  roots.add("second", "org/b", "v1");
  settle();
  CHECK(times_opened("metadata.json", [&] { CHECK(claims(roots) == "org/a@v1 org/b@v1"); }) == 2);
  CHECK(times_opened("metadata.json", [&] { CHECK(claims(roots) == "org/a@v1 org/b@v1"); }) == 0);
}

TEST_CASE("whatever changes in the plugin directories since they were listed is seen at once") {
  const ScratchCache cache;
  Roots roots;
  const fs::path folder = roots.add("root", "org/a", "v1");
  const fs::path later = roots.base() / "elsewhere" / "org" / "b";
  fs::create_directories(roots.base() / "second" / "org");
  fs::create_directory_symlink(later, roots.base() / "second" / "org" / "b");
  fs::create_directories(roots.base() / "second" / "org" / "hollow" / "v1");
  settle();
  REQUIRE(claims(roots) == "org/a@v1");
  REQUIRE(cache.answers().size() == 1);
  SECTION("another repository") {
    roots.add("root", "org/c", "v1");
    CHECK(claims(roots) == "org/a@v1 org/c@v1");
  }
  SECTION("another organisation in another root") {
    roots.add("second", "other/c", "v1");
    CHECK(claims(roots) == "org/a@v1 other/c@v1");
  }
  SECTION("a newer version") {
    roots.add("root", "org/a", "v2");
    CHECK(claims(roots) == "org/a@v2");
  }
  SECTION("a variant removed") {
    fs::remove_all(folder);
    CHECK(claims(roots).empty());
  }
  SECTION("metadata changed in place, and mended") {
    std::ofstream((folder / "metadata.json").string()) << "no longer metadata";
    CHECK(claims(roots).empty());
    roots.add("root", "org/a", "v1");
    CHECK(claims(roots) == "org/a@v1");
  }
  SECTION("a link that led nowhere leads to a repository") {
    roots.add("elsewhere", "org/b", "v1");
    CHECK(claims(roots) == "org/a@v1 org/b@v1");
  }
  SECTION("a revision that was empty is filled") {
    roots.add("second", "org/hollow", "v1");
    CHECK(claims(roots) == "org/a@v1 org/hollow@v1");
  }
}
