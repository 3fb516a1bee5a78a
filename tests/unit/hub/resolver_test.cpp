// SPDX-License-Identifier: Apache-2.0
#include "hub/resolver.hpp"

#include "support/catch.hpp"
#include "support/plugin_roots.hpp"

#include <boost/filesystem/operations.hpp>
#include <nlohmann/json.hpp>

#include <string>

using namespace layerhub;
using namespace layerhub::hub;
using layerhub::testing::Roots;
namespace fs = boost::filesystem;
using Catch::Matchers::Contains;

namespace {

RepositoryRef at(const char* repo, const char* revision) {
  return {.repo_id = repo, .revision = revision, .version = {}, .local = {}};
}
RepositoryRef version(const char* repo, int n) { return {.repo_id = repo, .revision = {}, .version = n, .local = {}}; }

std::string refusal(const Result<Resolved>& resolved) { return resolved ? "resolved" : resolved.error().text; }

}  // namespace

TEST_CASE("a repository is found by revision and by version, and a newer version is told of") {
  Roots roots;
  const fs::path folder = roots.add("a", "org/name", "v2");
  roots.add("a", "org/name", "v10");
  roots.add("a", "org/name", "main");
  const Resolver hub = roots.resolver({"a"});
  CHECK(hub.versions("org/name") == std::vector<int>{2, 10});
  const auto resolved = hub.resolve(version("org/name", 2), "cpu");
  REQUIRE(resolved);
  CHECK(resolved.value().folder == folder);
  CHECK(resolved.value().newer_version == 10);
  CHECK(hub.resolve(at("org/name", "main"), "cpu"));
}

TEST_CASE("the root that is searched first wins") {
  Roots roots;
  const fs::path first = roots.add("first", "org/name", "v1");
  roots.add("second", "org/name", "v1");
  roots.add("second", "org/other", "v1");
  const Resolver hub = roots.resolver({"first", "second"});
  CHECK(hub.resolve(at("org/name", "v1"), "cpu").value().folder == first);
  CHECK(hub.resolve(at("org/other", "v1"), "cpu"));
  CHECK(hub.scan().size() == 2);
}

TEST_CASE("what is not there is refused with what is there instead") {
  Roots roots;
  roots.add("a", "org/name", "v1");
  roots.add("a", "org/name", "v3");
  const Resolver hub = roots.resolver({"a"});
  CHECK_THAT(refusal(hub.resolve(version("org/name", 2), "cpu")), Contains("available versions: 1, 3"));
  CHECK_THAT(refusal(hub.resolve(at("org/name", "main"), "cpu")), Contains("main"));
  CHECK_THAT(refusal(hub.resolve(at("org/nothing", "v1"), "cpu")), Contains("org/nothing@v1"));
}

TEST_CASE("a variant for another system is refused with the reason, one for this system is preferred") {
  Roots roots;
  roots.add("a", "org/name", "v1", "layerhub1-cu130-x86_64-linux");
  const Resolver hub = roots.resolver({"a"});
  const auto refused = hub.resolve(at("org/name", "v1"), "cpu");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::no_variant);
  REQUIRE_FALSE(refused.error().facts.empty());
  const fs::path fitting = roots.add("a", "org/name", "v1");
  const auto resolved = hub.resolve(at("org/name", "v1"), "cpu");
  REQUIRE(resolved);
  CHECK(resolved.value().folder == fitting);
  CHECK(resolved.value().trace.size() == 2);
}

TEST_CASE("metadata of another repository or revision than its folder's is refused") {
  Roots roots;
  const fs::path folder = roots.add("a", "org/name", "v1");
  fs::create_directories(folder.parent_path().parent_path().parent_path() / "v2" / "build");
  fs::rename(folder, folder.parent_path().parent_path().parent_path() / "v2" / "build" / folder.filename());
  const auto refused = roots.resolver({"a"}).resolve(at("org/name", "v2"), "cpu");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::bad_metadata);
  CHECK_THAT(refused.error().text, Contains("org/name@v1"));
}

TEST_CASE("folders that begin with a dot are half published and not looked at") {
  Roots roots;
  roots.add("a", "org/name", "v1", ".layerhub1-cpu-x86_64-linux.staging");
  CHECK(roots.resolver({"a"}).scan().empty());
  CHECK_FALSE(roots.resolver({"a"}).resolve(at("org/name", "v1"), "cpu"));
}

TEST_CASE("a local repository is its folder, its build folder or a variant's") {
  Roots roots;
  const fs::path variant = roots.add("a", "org/name", "v1");
  const Resolver hub = roots.resolver({});
  for (const fs::path& local : {variant, variant.parent_path(), variant.parent_path().parent_path()}) {
    INFO(local.string());
    const auto resolved = hub.resolve({.repo_id = {}, .revision = {}, .version = {}, .local = local}, "cpu");
    REQUIRE(resolved);
    CHECK(resolved.value().folder == variant);
  }
}

TEST_CASE("only v and a number without leading zeros is a version") {
  CHECK(version_of("v1") == 1);
  CHECK(version_of("v120") == 120);
  for (const char* other : {"", "v", "1", "v01", "v1.0", "V1", "v-1", "v99999999999999999999", "main"}) {
    INFO(other);
    CHECK_FALSE(version_of(other));
  }
}

TEST_CASE("a build whose archs leave the device out gives way to the next, and the trace says which is used") {
  Roots roots;
  const fs::path newer = roots.add("a", "org/name", "v1", "layerhub1-cu128-x86_64-linux");
  const fs::path older = roots.add("a", "org/name", "v1", "layerhub1-cu126-x86_64-linux");
  const std::string file = (newer / "metadata.json").string();
  std::ifstream in(file);
  nlohmann::json metadata = nlohmann::json::parse(in);
  metadata["backend"]["archs"] = {"9.0a"};
  std::ofstream(file) << metadata;
  SystemFacts facts;
  facts.cuda = BackendVersion{12, 8};
  const Resolver hub(roots.resolver({"a"}).roots(), facts);
  const DeviceFacts device{80, ""};
  const auto resolved = hub.resolve(at("org/name", "v1"), "cuda", &device);
  REQUIRE(resolved);
  CHECK(resolved.value().folder == older);
  CHECK(resolved.value().trace ==
        std::vector<std::string>{"`layerhub1-cu126-x86_64-linux` compatible, preferred",
                                 "`layerhub1-cu128-x86_64-linux`: its archs (9.0a) do not include capability 8.0"});
}

TEST_CASE("a revision's folder without builds hides no other root's in a listing") {
  Roots roots;
  fs::create_directories(roots.base() / "first/org/name/v1");
  const fs::path variant = roots.add("second", "org/name", "v1");
  const std::vector<Found> found = roots.resolver({"first", "second"}).scan();
  REQUIRE(found.size() == 1);
  CHECK(found[0].folder == variant);
}
