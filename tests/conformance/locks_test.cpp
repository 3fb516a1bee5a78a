// SPDX-License-Identifier: Apache-2.0
// Mappings as files, locks, and explain: what would serve, why, and pinned.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

#include <boost/filesystem/operations.hpp>

#include <fstream>

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

namespace {

std::string error_under(const Mapping& mapping, Fallback policy = Fallback::always) {
  const Scale layer;
  const use_kernel_mapping scope(mapping, false);
  return error_of([&] { kernelize(layer, {.fallback = policy}); });
}

float first_under(const Mapping& mapping) {
  const Scale layer;
  const use_kernel_mapping scope(mapping, false);
  return outputs(layer)[0];
}

}  // namespace

TEST_CASE("a mapping that is written to a file and read again serves the same") {
  TestEnvironment env;
  env.add("twice");
  const std::string file = env.root() + "/mapping.toml";
  write_mapping(scale_from("fakes/twice"), file);
  CHECK(first_under(read_mapping(file)) == 2);
  CHECK(format_mapping(read_mapping(file)) == format_mapping(scale_from("fakes/twice")));
  CHECK_FALSE(boost::filesystem::exists(file + ".new"));
}

TEST_CASE("a mapping file that names what no mapping may hold is refused with its line") {
  const auto error = [](const char* text) { return error_of([&] { parse_mapping(text, "m.toml"); }); };
  CHECK_THAT(error("\n[[layer]]\nname = \"S\"\ndevice = \"abacus\"\nrepository = \"a/b\"\nversion = 1\n"),
             Contains("m.toml:2: layer[0]") && Contains("`abacus` is not known"));
  CHECK_THAT(error("[[layer]]\nname = \"S\"\ndevice = \"cpu\"\nmin-capability = 9\nmax-capability = 1\npath = \"/\"\n"),
             Contains("m.toml:1: layer[0]") && Contains("is above"));
}

TEST_CASE("under a lock each layer gets exactly what was locked") {
  TestEnvironment env;
  env.add("twice");
  const Mapping locked = lock_mapping(scale_from("fakes/twice"));
  CHECK_THAT(format_mapping(locked), Contains("twice.so") && Contains("sha256-") && Contains("kernels = [\"fake\"]"));
  CHECK(first_under(parse_mapping(format_mapping(locked))) == 2);
}

TEST_CASE("a lock pins the revision that a version comes to, and the automatic mapping's choice") {
  TestEnvironment env;
  env.add("twice");
  const Mapping by_version{
      {"Scale", {{"cpu", LayerRepository{.repo_id = "fakes/twice", .layer_name = "Scale", .version = 1}}}}};
  CHECK_THAT(format_mapping(lock_mapping(by_version)), Contains("revision = \"v1\""));
  CHECK_THAT(format_mapping(lock_mapping(automatic_mapping())),
             Contains("fakes/twice") && Contains("automatic = true"));
}

TEST_CASE("what is no longer what was locked is an error that names the difference, under every policy") {
  TestEnvironment env;
  const boost::filesystem::path folder = env.add("twice");
  const std::string locked = format_mapping(lock_mapping(scale_from("fakes/twice")));
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = locked;
    text.replace(text.find(from), from.size(), to);
    return error_under(parse_mapping(text));
  };
  CHECK(error_under(parse_mapping(locked)) == "no error");
  CHECK_THAT(changed("variant = \"layerhub1-cpu", "variant = \"layerhub1-cu130"),
             Contains("its variant is") && Contains("cu130"));
  CHECK_THAT(changed("twice.so", "other.so"), Contains("its library is `twice.so`, the lock says `other.so`"));
  CHECK_THAT(changed("\"fake\"", "\"faster\""), Contains("its kernels is `fake`, the lock says `faster`"));
  CHECK_THAT(changed("v1", "v2"), Contains("no revision `v2`"));
  std::ofstream((folder / "twice.so").string(), std::ios::app) << "one byte more";
  for (const Fallback policy : {Fallback::always, Fallback::when_unsupported, Fallback::never}) {
    CHECK_THAT(error_under(parse_mapping(locked), policy), Contains("its digest is") && Contains("lock again"));
  }
}

TEST_CASE("a lock leaves out devices that are not here, and is an error where an explicit entry can't serve") {
  TestEnvironment env;
  env.add("twice");
  const Mapping both{{"Scale",
                      {{"cpu", LayerRepository{"fakes/twice", "Scale", "v1"}},
                       {"cuda", LayerRepository{"fakes/twice", "Scale", "v1"}}}}};
  CHECK_THAT(format_mapping(lock_mapping(both)), !Contains("cuda"));
  CHECK_THAT(error_of([] { lock_mapping(scale_from("fakes/is-not-there")); }), Contains("in no plugin directory"));
}

TEST_CASE("explain says what a call would find, without binding the layer") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  const Scale layer;
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  const std::string text = explain(layer, ExplainOptions{});
  CHECK_THAT(text, Contains("layer `Scale` on cpu, inference: fakes/twice@v1: fake"));
  CHECK_THAT(text, Contains("+ fakes/twice@v1 twice.so `fake`: serves"));
  CHECK_THAT(text, Contains("- fakes/thrice@v1 thrice.so `fake`: the mapping names fakes/twice@v1"));
  CHECK_FALSE(binding_of(layer));
}

TEST_CASE("explain names the rule that refuses each candidate, for each device and mode") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  CHECK_THAT(explain(layer, {.mode = Mode::training}),
             Contains("own forward") && Contains("does not support training"));
  CHECK_THAT(explain(layer, {.device = Device::cuda()}), Contains("with device type `cuda`"));
  const Json json = Json::parse(explain_json(layer, ExplainOptions{.mode = Mode::training}));
  CHECK(json["served_by"] == "own forward");
  CHECK(json["candidates"][0]["rule"] == "mode");
  CHECK(json["candidates"][0]["accepted"] == false);
}

TEST_CASE("explain holds the constraints against shapes that are given") {
  TestEnvironment env;
  env.add("strict");
  const Scale layer;
  const use_kernel_mapping scope(scale_from("fakes/strict"));
  const auto with = [&](std::vector<std::int64_t> shape) {
    return explain(layer, ExplainOptions{.tensors = {{shape}, {shape}}});
  };
  CHECK_THAT(with({2, 8}), Contains("all hold for tensors of these shapes") && Contains("fakes/strict@v1: fake"));
  CHECK_THAT(with({2, 7}), Contains("own forward") && Contains("is not a multiple of 4"));
  CHECK_THAT(with({8}), Contains("has a rank that the kernel does not take"));
  CHECK_THAT(error_of([&] { explain(layer, ExplainOptions{.tensors = {{{2, 8}}}}); }), Contains("1 shapes are given"));
  for (const std::vector<std::int64_t>& shape :
       {std::vector<std::int64_t>{-1, 4}, {std::int64_t{1} << 62, 4}, std::vector<std::int64_t>(9, 4)}) {
    CHECK_THAT(error_of([&] { with(shape); }), Contains("a shape has a negative dimension, too many of them"));
  }
}
