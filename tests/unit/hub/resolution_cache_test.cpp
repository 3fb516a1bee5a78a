// SPDX-License-Identifier: Apache-2.0
#include "hub/resolution_cache.hpp"

#include "support/catch.hpp"
#include "support/plugin_roots.hpp"

#include <thread>

using namespace layerhub;
using namespace layerhub::hub;
using layerhub::testing::Roots;

namespace {

RepositoryRef version(int n) {
  RepositoryRef ref;
  ref.repo_id = "org/a";
  ref.version = n;
  return ref;
}

}  // namespace

TEST_CASE("a resolution that was made before is the same object while nothing has changed") {
  Roots roots;
  roots.add("root", "org/a", "v1");
  const Resolver resolver = roots.resolver({"root"});
  const auto first = resolve_cached(resolver, version(1), "cpu").value();
  CHECK(resolve_cached(resolver, version(1), "cpu").value() == first);
  CHECK_FALSE(resolve_cached(resolver, version(1), "cuda"));
}

TEST_CASE("a changed metadata file, another variant and a newer version are seen at once") {
  Roots roots;
  const boost::filesystem::path folder = roots.add("root", "org/a", "v1");
  const Resolver resolver = roots.resolver({"root"});
  const auto first = resolve_cached(resolver, version(1), "cpu").value();
  CHECK_FALSE(first->newer_version);

  roots.add("root", "org/a", "v2");
  const auto second = resolve_cached(resolver, version(1), "cpu").value();
  CHECK(second->newer_version == 2);

  roots.add("root", "org/a", "v1", "layerhub1-cu130-x86_64-linux");
  CHECK(resolve_cached(resolver, version(1), "cpu").value()->trace.size() == 2);

  std::ofstream((folder / "metadata.json").string()) << "no longer metadata";
  CHECK_FALSE(resolve_cached(resolver, version(1), "cpu"));
}

TEST_CASE("a repository that is dropped into an earlier root, or removed, is seen at once") {
  Roots roots;
  roots.add("second", "org/a", "v1");
  boost::filesystem::create_directories(roots.base() / "first");
  const Resolver resolver = roots.resolver({"first", "second"});
  CHECK(resolve_cached(resolver, version(1), "cpu").value()->folder.string().find("second") != std::string::npos);
  roots.add("first", "org/a", "v1");
  CHECK(resolve_cached(resolver, version(1), "cpu").value()->folder.string().find("first") != std::string::npos);
  boost::filesystem::remove_all(roots.base() / "first" / "org");
  CHECK(resolve_cached(resolver, version(1), "cpu").value()->folder.string().find("second") != std::string::npos);
  boost::filesystem::remove_all(roots.base() / "second" / "org");
  CHECK_FALSE(resolve_cached(resolver, version(1), "cpu"));
}
