// SPDX-License-Identifier: Apache-2.0
// Repositories at revisions and versions, at paths, overridden, moved and locked, as a host sees them.
#include "support/catch.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_environment.hpp"

#include <boost/filesystem/operations.hpp>

#include <cstdlib>
#include <fstream>

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

namespace {

Mapping counter(Repository repository) {
  return Mapping(std::vector<Mapping::LayerEntry>{{"Scale", {{"cpu", ModeRepositories(std::move(repository))}}}});
}

// The first output under a mapping, or what it is refused with.
std::string served(const Mapping& mapping) {
  const Scale layer;
  const use_kernel_mapping scope(mapping, false);
  try {
    kernelize(layer);
  } catch (const Error& error) {
    return error.what();
  }
  return binding_of(layer) ? binding_of(layer)->repo_id + "@" + binding_of(layer)->revision : "own forward";
}

std::string version(std::optional<int> n) {
  return served(counter(LayerRepository{.repo_id = "fakes/counter", .layer_name = "Scale", .version = n}));
}

class Overrides {
 public:
  explicit Overrides(const std::string& value) { setenv("LAYERHUB_OVERRIDES", value.c_str(), 1); }
  ~Overrides() { unsetenv("LAYERHUB_OVERRIDES"); }
};

}  // namespace

TEST_CASE("layer versions: a revision, version 1, version 2, and both side by side") {
  TestEnvironment env;
  env.add("counter_v1");
  env.add("counter_v2");
  env.add("counter_v1", [](Json& metadata) { metadata["layerhub"]["revision"] = "main"; });
  CHECK(version(1) == "fakes/counter@v1");
  CHECK(version(2) == "fakes/counter@v2");
  const Scale one, two;
  const Mapping first = scale_from("fakes/counter", "v1"), second = scale_from("fakes/counter", "v2");
  for (int i = 1; i <= 3; ++i) {
    {
      const use_kernel_mapping scope(first);
      CHECK(outputs(one)[0] == static_cast<float>(i));
    }
    const use_kernel_mapping scope(second);
    CHECK(outputs(two)[0] == static_cast<float>(100 * i));  // statics of its own
  }
}

TEST_CASE("an unknown version is an error that lists those that are there, by number") {
  TestEnvironment env;
  for (const char* revision : {"v1", "v2", "v10"}) {
    env.add("counter_v1", [&](Json& metadata) { metadata["layerhub"]["revision"] = revision; });
  }
  CHECK_THAT(version(0), Contains("Version 0 not found, available versions: 1, 2, 10"));
}

TEST_CASE("a local repository serves by its root, its build folder and a variant's folder, and has no hub's name") {
  TestEnvironment env;
  const boost::filesystem::path variant = env.add("twice");
  for (const auto& path : {variant, variant.parent_path(), variant.parent_path().parent_path()}) {
    INFO(path.string());
    CHECK(served(counter(LocalLayerRepository{path.string(), "Scale"})) == "fakes/twice@v1");
  }
  CHECK_THAT(served(counter(LocalLayerRepository{"/is/not/there", "Scale"})), Contains("there is no such folder"));
}

TEST_CASE("a local override serves a repository that is in no plugin directory, whatever revision is asked for") {
  TestEnvironment env;
  const boost::filesystem::path variant = env.add("twice");
  const layerhub::testing::TemporaryFolder folder;
  const boost::filesystem::path checkout = folder.path() / "checkout";
  boost::filesystem::rename(env.root() + "/fakes/twice/v1", checkout);
  CHECK_THAT(served(scale_from("fakes/twice")), Contains("in no plugin directory"));
  {
    const Overrides overrides("fakes/twice=" + checkout.string());
    CHECK(served(scale_from("fakes/twice", "v77")) == "fakes/twice@v1");
    CHECK_THAT(served(scale_from("fakes/other")), Contains("in no plugin directory"));
  }
}

TEST_CASE("a malformed override and one of another repository are errors that name the entry") {
  TestEnvironment env;
  env.add("twice");
  {
    const Overrides overrides("nonsense=");
    CHECK_THAT(served(scale_from("fakes/twice")), Contains("LAYERHUB_OVERRIDES") && Contains("nonsense"));
  }
  const Overrides overrides("fakes/thrice=" + env.root() + "/fakes/twice/v1");
  CHECK_THAT(served(scale_from("fakes/thrice")), Contains("holds fakes/twice, not fakes/thrice"));
}

TEST_CASE("a repository that has moved serves from where it is now, and explain says so") {
  TestEnvironment env;
  env.add("twice");
  boost::filesystem::create_directories(env.root() + "/old/place/v1");
  std::ofstream(env.root() + "/old/place/v1/kernel-status.toml")
      << "kind = \"redirect\"\ndestination = \"fakes/twice\"\nrevision = \"v1\"\n";
  CHECK(served(scale_from("old/place")) == "fakes/twice@v1");
  const Scale layer;
  const use_kernel_mapping scope(scale_from("old/place"));
  outputs(layer);
  CHECK_THAT(explain(layer), Contains("old/place@v1 has moved to fakes/twice@v1"));
}

TEST_CASE("a locked layer gives the locked commit, one that is not locked is an error") {
  const std::string commit(40, 'c');
  TestEnvironment env;
  env.add("twice");
  boost::filesystem::rename(env.root() + "/fakes/twice/v1", env.root() + "/fakes/twice/" + commit);
  const std::string lock = env.root() + "/kernels.lock";
  std::ofstream(lock) << R"([{"dependency": {"repo-id": "fakes/twice", "version": 1}, "lock": {"commit": ")" << commit
                      << "\"}}]";
  CHECK_THAT(served(counter(LockedLayerRepository{"fakes/thrice", "Scale", lock})),
             Contains("Kernel `fakes/thrice` is not locked"));
  CHECK(served(counter(LockedLayerRepository{"fakes/twice", "Scale", lock})) == "fakes/twice@v1");
}

TEST_CASE("what is missing says that nothing was asked over a network") {
  TestEnvironment env;
  CHECK_THAT(error_of([] {
               const Scale layer;
               const use_kernel_mapping scope(scale_from("fakes/is-not-there"), false);
               kernelize(layer);
             }),
             Contains("searched") && Contains("network: never asked"));
}

TEST_CASE("loaded kernels are a copy of the list, and being installed alone does not put a plugin on it") {
  TestEnvironment env;
  env.add("twice");
  const std::size_t before = loaded_kernels().size();
  const Scale a, b;
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  CHECK(loaded_kernels().size() == before);
  outputs(a), outputs(b);
  std::vector<LoadedKernels> loaded = loaded_kernels();
  REQUIRE(loaded.size() == before + 1);  // two layers, one library
  CHECK(loaded.back().kernels == std::vector<std::string>{"Scale: fake"});
  CHECK(loaded.back().repo_id == "fakes/twice");
  loaded.clear();
  CHECK(loaded_kernels().size() == before + 1);
}

TEST_CASE("a loaded kernel of a local repository has no repository and no revision") {
  TestEnvironment env;
  const boost::filesystem::path variant = env.add("twice");
  const Scale layer;
  const use_kernel_mapping scope(counter(LocalLayerRepository{variant.string(), "Scale"}));
  outputs(layer);
  CHECK(loaded_kernels().back().library == (variant / "twice.so").string());
  CHECK(loaded_kernels().back().repo_id.empty());
  CHECK(loaded_kernels().back().revision.empty());
}

TEST_CASE("the resolver's order: an override before the directories, and of the directories the first") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice", [](Json& metadata) { metadata["layerhub"]["repo"] = "fakes/twice"; });  // not what it says it is
  CHECK_THAT(served(scale_from("fakes/twice")), Contains("the repository is `fakes/twice` in metadata.json"));
  TestEnvironment other;
  const boost::filesystem::path right = other.add("twice");
  set_plugin_roots({other.root(), env.root()});
  CHECK(served(scale_from("fakes/twice")) == "fakes/twice@v1");
  set_plugin_roots({env.root()});
  const Overrides overrides("fakes/twice=" + right.string());
  CHECK(served(scale_from("fakes/twice")) == "fakes/twice@v1");
}
