// SPDX-License-Identifier: Apache-2.0
#include "hub/resolution_cache.hpp"

#include "support/catch.hpp"
#include "support/plugin_roots.hpp"
#include "support/scratch_cache.hpp"

#include <cstdlib>

#include <sys/wait.h>
#include <unistd.h>

using namespace layerhub;
using namespace layerhub::hub;
using layerhub::testing::Roots;
using layerhub::testing::ScratchCache;
using layerhub::testing::settle;
using layerhub::testing::times_opened;

namespace {

RepositoryRef version(int n) {
  RepositoryRef ref;
  ref.repo_id = "org/a";
  ref.version = n;
  return ref;
}

// Runs it in a process of its own, whose memory is gone afterwards.
template <class Body>
void in_another_process(Body&& body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
}

class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Environment() { ::unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

}  // namespace

TEST_CASE("a resolution that was made before is the same object while nothing has changed") {
  Roots roots;
  roots.add("root", "org/a", "v1");
  const Resolver resolver = roots.resolver({"root"});
  settle();
  const auto first = resolve_cached(resolver, version(1), "cpu").value();
  CHECK(resolve_cached(resolver, version(1), "cpu").value() == first);
  CHECK_FALSE(resolve_cached(resolver, version(1), "cuda"));
}

TEST_CASE("a changed metadata file, another variant and a newer version are seen at once") {
  Roots roots;
  const boost::filesystem::path folder = roots.add("root", "org/a", "v1");
  const Resolver resolver = roots.resolver({"root"});
  settle();
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
  settle();
  CHECK(resolve_cached(resolver, version(1), "cpu").value()->folder.string().find("second") != std::string::npos);
  roots.add("first", "org/a", "v1");
  CHECK(resolve_cached(resolver, version(1), "cpu").value()->folder.string().find("first") != std::string::npos);
  boost::filesystem::remove_all(roots.base() / "first" / "org");
  CHECK(resolve_cached(resolver, version(1), "cpu").value()->folder.string().find("second") != std::string::npos);
  boost::filesystem::remove_all(roots.base() / "second" / "org");
  CHECK_FALSE(resolve_cached(resolver, version(1), "cpu"));
}

TEST_CASE("a variant that is dropped into a locked commit's folder is seen at once") {
  Roots roots;
  const std::string commit(40, 'a');
  const boost::filesystem::path folder = roots.add("root", "org/a", commit);
  const boost::filesystem::path file = roots.base() / "kernels.lock";
  std::ofstream(file.string()) << R"([{"repo_id": "org/a", "sha": ")" << commit << "\"}]";
  const RepositoryRef locked{.repo_id = "org/a", .revision = {}, .version = {}, .local = {}, .lock_file = file};
  const Resolver resolver = roots.resolver({"root"});
  settle();
  REQUIRE(resolve_cached(resolver, locked, "cpu").value()->trace.size() == 1);
  roots.add("root", "org/a", commit, "layerhub1-cu130-x86_64-linux");
  CHECK(resolve_cached(resolver, locked, "cpu").value()->trace.size() == 2);
  boost::filesystem::rename(folder, folder.parent_path() / ".gone");
  CHECK_FALSE(resolve_cached(resolver, locked, "cpu"));
}

TEST_CASE("a changed file of overrides is seen at once") {
  Roots roots;
  roots.add("root", "org/a", "v1");
  roots.add("work", "org/a", "v1");
  const std::string file = (roots.base() / "overrides").string();
  std::ofstream(file) << "# none\n";
  const Environment environment("LAYERHUB_OVERRIDES", file);
  const Resolver resolver = roots.resolver({"root"});
  settle();
  REQUIRE(resolve_cached(resolver, version(1), "cpu").value()->notes.empty());
  std::ofstream(file) << "org/a=" << (roots.base() / "work/org/a/v1").string() << "\n";
  CHECK(resolve_cached(resolver, version(1), "cpu").value()->notes.size() == 1);
}

TEST_CASE(
    "a local path is not taken for the repository that is written the same, nor for another folder of that name") {
  Roots roots;
  roots.add("root", "org/a", "v1");
  roots.add("one", "org/a", "v1");
  roots.add("two", "org/a", "v1");
  const Resolver resolver = roots.resolver({"root"});
  settle();
  const RepositoryRef named{.repo_id = "org/a", .revision = "v1", .version = {}, .local = {}};
  const RepositoryRef local{.repo_id = {}, .revision = {}, .version = {}, .local = "org/a@v1"};
  REQUIRE(resolve_cached(resolver, named, "cpu"));
  CHECK_FALSE(resolve_cached(resolver, local, "cpu"));
  const RepositoryRef relative{.repo_id = {}, .revision = {}, .version = {}, .local = "org/a/v1"};
  const boost::filesystem::path before = boost::filesystem::current_path();
  boost::filesystem::current_path(roots.base() / "one");
  CHECK(resolve_cached(resolver, relative, "cpu").value()->folder.string().find("/one/") != std::string::npos);
  boost::filesystem::current_path(roots.base() / "two");
  CHECK(resolve_cached(resolver, relative, "cpu").value()->folder.string().find("/two/") != std::string::npos);
  boost::filesystem::current_path(before);
}

TEST_CASE("what is decided for one system is not given to another") {
  Roots roots;
  roots.add("root", "org/a", "v1");
  const Resolver here = roots.resolver({"root"});
  SystemFacts other;
  other.cpu_arch = "aarch64";
  settle();
  REQUIRE(resolve_cached(here, version(1), "cpu"));
  CHECK_FALSE(resolve_cached(Resolver(here.roots(), other), version(1), "cpu"));
}

TEST_CASE("a change within one tick of the file system's clock is seen as well") {
  for (int round = 0; round < 200; ++round) {
    Roots roots;
    roots.add("root", "org/a", "v1");
    const Resolver resolver = roots.resolver({"root"});
    REQUIRE(resolve_cached(resolver, version(1), "cpu"));
    roots.add("root", "org/a", "v2");
    REQUIRE(resolve_cached(resolver, version(1), "cpu").value()->newer_version == 2);
  }
}

TEST_CASE("a resolution of another process is found again, and no metadata is read for it") {
  const ScratchCache cache;
  Roots roots;
  roots.add("root", "org/a", "v1");
  roots.add("root", "org/a", "v2");
  const Resolver resolver = roots.resolver({"root"});
  settle();
  in_another_process([&] { resolve_cached(resolver, version(1), "cpu").value(); });
  std::shared_ptr<const Resolved> found;
  CHECK(times_opened("metadata.json", [&] { found = resolve_cached(resolver, version(1), "cpu").value(); }) == 0);
  CHECK(*found == resolver.resolve(version(1), "cpu").value());
}

TEST_CASE("a resolution of another process does not outlive a change of what it was read from") {
  const ScratchCache cache;
  Roots roots;
  const boost::filesystem::path folder = roots.add("root", "org/a", "v1");
  const Resolver resolver = roots.resolver({"root"});
  settle();
  in_another_process([&] { resolve_cached(resolver, version(1), "cpu").value(); });
  REQUIRE(cache.answers().size() == 1);
  SECTION("another variant") {
    roots.add("root", "org/a", "v1", "layerhub1-cu130-x86_64-linux");
    CHECK(resolve_cached(resolver, version(1), "cpu").value()->trace.size() == 2);
  }
  SECTION("a newer version") {
    roots.add("root", "org/a", "v2");
    CHECK(resolve_cached(resolver, version(1), "cpu").value()->newer_version == 2);
  }
  SECTION("metadata of the same size that is written in place, with the old times") {
    const boost::filesystem::path file = folder / "metadata.json";
    const std::string size(boost::filesystem::file_size(file), 'x');
    const std::time_t before = boost::filesystem::last_write_time(file);
    std::ofstream(file.string()) << size;
    boost::filesystem::last_write_time(file, before);
    CHECK_FALSE(resolve_cached(resolver, version(1), "cpu"));
  }
  SECTION("the folder removed") {
    boost::filesystem::remove_all(folder);
    CHECK_FALSE(resolve_cached(resolver, version(1), "cpu"));
  }
}
