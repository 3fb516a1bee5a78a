// SPDX-License-Identifier: Apache-2.0
#include "hub/mapping_file.hpp"

#include "support/catch.hpp"

using namespace layerhub;
using namespace layerhub::hub;
using Catch::Matchers::Contains;

namespace {

constexpr const char* whole = R"([[layer]]
name = "RMSNorm"
device = "cuda"
min-capability = 80
max-capability = 90
mode = "inference|capture"
repository = "layerhub/norm"
revision = "v1"
layer = "LlamaRMSNorm"
automatic = true
[layer.pin]
variant = "layerhub1-cu130-x86_64-linux"
library = "norm.so"
digest = "sha256-abc"
kernels = ["a \"quoted\" one", "vector"]

[[layer]]
name = "Silu"
device = "cpu"
repository = "layerhub/activation"
version = 2

[[layer]]
name = "Silu"
device = "opencl"
path = "/a/b"

[[layer]]
name = "Gelu"
device = "cpu"
repository = "layerhub/activation"
lock-file = "kernels.lock"
)";

std::string refusal(const std::string& text) {
  const Result<std::vector<MappingRow>> rows = parse_mapping_file(text, "m.toml");
  return rows ? "taken" : rows.error().text;
}

const std::string entry = "[[layer]]\nname = \"Silu\"\ndevice = \"cpu\"\n";

}  // namespace

TEST_CASE("a mapping file that is read is written as it was") {
  const auto rows = parse_mapping_file(whole, "m.toml");
  REQUIRE(rows);
  CHECK(write_mapping_file(rows.value()) == whole);
  CHECK(rows.value()[0].interval.max_capability == 90);
  CHECK(rows.value()[0].mode == (Mode::inference | Mode::capture));
  CHECK(rows.value()[0].pin->kernels[0] == "a \"quoted\" one");
  CHECK(std::get<LayerRepository>(rows.value()[1].repository).version == 2);
}

TEST_CASE("an empty mapping file is an empty mapping") {
  CHECK(parse_mapping_file("# nothing\n", "m.toml").value().empty());
}

TEST_CASE("what is wrong in a mapping file is told with line and key") {
  CHECK_THAT(refusal("[[layer]]\nname = \"Silu\"\n"), Contains("m.toml:1: layer[0].device: it is missing"));
  CHECK_THAT(refusal(entry + "colour = 1\n"),
             Contains("m.toml:4: layer[0].colour: the key is unknown") && Contains("revision"));
  CHECK_THAT(refusal(entry + "repository = 7\n"), Contains("m.toml:4: layer[0].repository: it is not a text"));
  CHECK_THAT(refusal(entry + "repository = \"a/b\"\n"), Contains("none of revision, version and lock-file"));
  CHECK_THAT(refusal(entry + "repository = \"a/b\"\nrevision = \"v1\"\nversion = 1\n"),
             Contains("several of revision"));
  CHECK_THAT(refusal(entry + "path = \"/a\"\nversion = 1\n"),
             Contains("m.toml:5: layer[0].version: it stands beside `path`"));
  CHECK_THAT(refusal(entry + "repository = \"a/b\"\nversion = -1\n"), Contains("m.toml:5: layer[0].version"));
  CHECK_THAT(refusal(entry + "mode = \"fast\"\nversion = 1\n"),
             Contains("m.toml:4: layer[0].mode") && Contains("`fast` is none"));
  CHECK_THAT(refusal(entry + "path = \"/a\"\nautomatic = 1\n"), Contains("neither true nor false"));
  CHECK_THAT(refusal(entry + "path = \"/a\"\n[layer.pin]\nvariant = \"x\"\n"),
             Contains("layer[0].pin.library: it is missing"));
  CHECK_THAT(refusal("layer = 1\n"), Contains("write [[layer]]"));
  CHECK_THAT(refusal("other = 1\n"), Contains("m.toml:1: other"));
}

TEST_CASE("what is no TOML is told with line and column") {
  CHECK_THAT(refusal("[[layer]]\nname = \n"), Contains("m.toml:2:"));
  CHECK_THAT(refusal("[[layer]\n"), Contains("m.toml:1:"));
}
