// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a plugin or a call, and that the host lives on with a line that says so.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

#include <boost/filesystem/operations.hpp>

#include <fstream>
#include <iterator>

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

namespace {

std::string error_with(const std::string& repo) {
  const use_kernel_mapping scope(scale_from(repo));
  return error_of([] {
    const Scale layer;
    outputs(layer);
  });
}

}  // namespace

TEST_CASE("a plugin that is not there is an error that says where it was looked for") {
  const TestEnvironment env;
  CHECK_THAT(error_with("fakes/nowhere"), Contains("fakes/nowhere@v1") && Contains(env.root()));
}

TEST_CASE("an unknown version is an error that lists those that are there") {
  TestEnvironment env;
  env.add("counter_v1");
  env.add("counter_v2");
  const use_kernel_mapping scope(
      Mapping{{"Scale", {{"cpu", LayerRepository{.repo_id = "fakes/counter", .layer_name = "Scale", .version = 7}}}}});
  const Scale layer;
  CHECK_THAT(error_of([&] { outputs(layer); }), Contains("Version 7 not found, available versions: 1, 2"));
}

TEST_CASE("a repository without a fitting variant is refused with a reason for each") {
  TestEnvironment env;
  const auto folder = env.add("twice");
  boost::filesystem::rename(folder, folder.parent_path() / "layerhub1-cu130-x86_64-linux");
  boost::filesystem::create_directories(folder.parent_path() / "torch27-cxx11-cu126-x86_64-linux");
  CHECK_THAT(error_with("fakes/twice"),
             Contains("backend (cu130) does not match selected backend (cpu)") && Contains("needs libtorch"));
}

TEST_CASE("a plugin of another ABI major is refused before any of its code runs") {
  TestEnvironment env;
  env.add("other_major");
  CHECK_THAT(error_with("fakes/other-major"), Contains("major 2") && Contains("this host 1"));
}

TEST_CASE("a library that is no plugin is refused") {
  TestEnvironment env;
  env.add("no_query");
  CHECK_THAT(error_with("fakes/no-query"), Contains("exports no lh_plugin_query_v1"));
}

TEST_CASE("a library that needs one which is not installed is refused by the name of that one") {
  TestEnvironment env;
  const boost::filesystem::path library = env.add("throws") / "throws.so";
  std::string bytes;
  {
    std::ifstream file(library.string(), std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  const std::string needed = "libstdc++.so.6", missing = "libnowhere.so6";  // as long: nothing else moves
  REQUIRE(bytes.find(needed) != std::string::npos);
  bytes.replace(bytes.find(needed), needed.size(), missing);
  std::ofstream(library.string(), std::ios::binary | std::ios::trunc) << bytes;
  CHECK_THAT(error_with("fakes/throws"), Contains("the system's loader refuses it: libnowhere.so6: cannot open"));
}

TEST_CASE("a plugin that needs a newer minor is refused with its own words") {
  TestEnvironment env;
  env.add("too_new");
  CHECK_THAT(error_with("fakes/too-new"), Contains("this plugin needs a host of minor 9"));
}

TEST_CASE("a plugin that chooses a minor that was not offered is refused") {
  TestEnvironment env;
  env.add("lies");
  CHECK_THAT(error_with("fakes/lies"), Contains("it chose minor 1"));
}

TEST_CASE("a plugin of a newer minor is used as far as the host knows it, one of an older as far as it goes") {
  TestEnvironment env;
  env.add("newer_minor");
  env.add("older_minor");
  for (const char* repo : {"fakes/newer-minor", "fakes/older-minor"}) {
    const use_kernel_mapping scope(scale_from(repo));
    const Scale layer;
    CHECK(outputs(layer) == std::vector<float>{2, 4, 6});
  }
}

TEST_CASE("a descriptor that points outside itself is refused") {
  TestEnvironment env;
  env.add("broken_table");
  CHECK_THAT(error_with("fakes/broken-table"), Contains("names an argument"));
}

TEST_CASE("a library with a symbol that the process would share is refused") {
  TestEnvironment env;
  env.add("unique");
#if defined(__clang__)
  LAYERHUB_SKIP("this compiler makes no GNU unique symbols");
#endif
  CHECK_THAT(error_with("fakes/unique"), Contains("unique symbol"));
}

TEST_CASE("a truncated library never reaches the system's loader, wherever it is cut") {
  TestEnvironment env;
  const auto file = env.add("twice") / "twice.so";
  const auto size = boost::filesystem::file_size(file);
  for (std::uintmax_t cut = 0; cut < size; cut += size / 37 + 1) {
    boost::filesystem::copy_file(fake_library("twice"), file, boost::filesystem::copy_options::overwrite_existing);
    boost::filesystem::resize_file(file, cut);
    const std::string error = error_with("fakes/twice");
    INFO(cut << " of " << size << ": " << error);
    CHECK((error == "no error" || error.find("twice.so") != std::string::npos));
  }
}

TEST_CASE("a text file named .so is refused") {
  TestEnvironment env;
  std::ofstream((env.add("twice") / "twice.so").string()) << "not a library";
  CHECK_THAT(error_with("fakes/twice"), Contains("not a shared library"));
}

TEST_CASE("metadata that is no JSON, lacks a field or contradicts the library is refused by name") {
  TestEnvironment env;
  std::ofstream((env.add("twice") / "metadata.json").string()) << "{";
  CHECK_THAT(error_with("fakes/twice"), Contains("metadata.json"));
  env.add("twice", [](Json& m) { m["layerhub"]["libraries"][0].erase("file"); });
  CHECK_THAT(error_with("fakes/twice"), Contains("layerhub.libraries[0].file: it is missing"));
  env.add("twice", [](Json& m) { m["layerhub"]["libraries"][0]["build-id"] = "another"; });
  CHECK_THAT(error_with("fakes/twice"), Contains("build id") && Contains("another"));
  env.add("twice", [](Json& m) { m["layerhub"]["libraries"][0]["file"] = "../twice.so"; });
  CHECK_THAT(error_with("fakes/twice"), Contains("plain name"));
}

TEST_CASE("a kernel that declines leaves the call to the own forward, counted and explained") {
  TestEnvironment env;
  env.add("declines");
  const use_kernel_mapping scope(scale_from("fakes/declines"));
  const Scale layer;
  CHECK(outputs(layer) == own_outputs);
  CHECK(outputs(layer) == own_outputs);
  CHECK(binding_of(layer)->declined == 2);
  CHECK_THAT(explain(layer), Contains("since the kernel declined them: 2"));
}

TEST_CASE("a kernel that throws is an error with its words, never an exception of its own") {
  TestEnvironment env;
  env.add("throws");
  env.add("throws_int");
  CHECK_THAT(error_with("fakes/throws"), Contains("the fake's own words"));
  CHECK_THAT(error_with("fakes/throws-int"), Contains("internal"));
}

TEST_CASE("a kernel that cannot make its instance is an error, or the own forward where the policy says so") {
  TestEnvironment env;
  env.add("create_fails");
  CHECK_THAT(error_with("fakes/create-fails"), Contains("no room for the fake"));
  const use_kernel_mapping scope(scale_from("fakes/create-fails"));
  const Scale layer;
  CHECK(kernelize(layer, {.fallback = Fallback::always}).kernels() == 0);
  CHECK(outputs(layer) == own_outputs);
}

TEST_CASE("a constraint that does not hold leaves the call to the own forward and is named") {
  TestEnvironment env;
  env.add("strict");
  const use_kernel_mapping scope(scale_from("fakes/strict"));
  const Scale layer;
  Tensor x(std::vector<float>(8, 1.f), {2, 4}), y(std::vector<float>(8, 0.f), {2, 4});
  layer(x, y);
  CHECK(y.values[0] == 2);
  const auto refused = [&](Tensor input, Tensor output, const char* reason) {
    layer(input, output);
    INFO(reason);
    CHECK_THAT(explain(layer), Contains(reason));
  };
  refused(Tensor(std::vector<float>(6, 1.f), {2, 3}), Tensor(std::vector<float>(6, 0.f), {2, 3}),
          "not a multiple of 4");
  refused(Tensor(std::vector<float>(4, 1.f)), Tensor(std::vector<float>(4, 0.f)), "a rank");
  refused(Tensor(std::vector<float>(8, 1.f), {2, 4}), Tensor(std::vector<float>(8, 0.f), {1, 8}), "differ in shape");
  refused(Tensor(std::vector<float>(36, 1.f), {9, 4}), Tensor(std::vector<float>(36, 0.f), {9, 4}), "not in [1, 8]");
  CHECK(binding_of(layer)->refused == 4);
}

TEST_CASE("two plugins that claim one layer are an error of the automatic mapping that names both") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  CHECK_THAT(error_of([&] { automatic_mapping({env.root()}); }), Contains("fakes/twice") && Contains("fakes/thrice"));
  const use_kernel_mapping scope(automatic_mapping({env.root()}, scale_from("fakes/thrice")));
  const Scale layer;
  CHECK(outputs(layer)[0] == 3);
}

TEST_CASE("the automatic mapping serves what is there, and after its folder is removed falls back and says why") {
  TestEnvironment env;
  const auto folder = env.add("twice");
  const Scale layer, later;
  {
    const use_kernel_mapping scope(automatic_mapping());
    CHECK(outputs(layer)[0] == 2);
  }
  boost::filesystem::remove_all(folder.parent_path().parent_path());
  const use_kernel_mapping scope(automatic_mapping());
  CHECK(outputs(later) == own_outputs);
  CHECK_THAT(explain(later), Contains("No layer mapping for `Scale`") && Contains(env.root()));
}

TEST_CASE("a dropped-in plugin is there at the next automatic mapping, its newest version first") {
  TestEnvironment env;
  env.add("counter_v1");
  env.add("counter_v2");
  const Scale layer;
  const use_kernel_mapping scope(automatic_mapping());
  CHECK(outputs(layer)[0] == 100);
}
