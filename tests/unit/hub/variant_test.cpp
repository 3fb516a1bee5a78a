// SPDX-License-Identifier: Apache-2.0
#include "hub/variant.hpp"

#include "support/catch.hpp"

#include <algorithm>

using namespace layerhub::hub;

namespace {

std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (const char* framework : {"torch27-cxx11", "torch28-cxx98", "torch210", "torch-stable-abi29",
                                "torch-stable-abi211", "tvm-ffi01", "tvm-ffi010", "layerhub1"}) {
    for (const char* backend :
         {"cpu", "metal", "cu118", "cu126", "cu128", "cu130", "rocm63", "rocm70", "xpu20253", "cann83"}) {
      for (const char* system : {"x86_64-linux", "aarch64-linux", "aarch64-darwin", "x86_64-windows"}) {
        names.push_back(std::string(framework) + "-" + backend + "-" + system);
      }
    }
  }
  names.insert(names.end(), {"torch-cpu", "torch-cuda", "torch-universal"});
  return names;
}

std::string reason(const char* name, const SystemFacts& facts, const char* device) {
  return misfit(parse_variant(name).value(), facts, device).value_or("fits");
}

}  // namespace

TEST_CASE("every variant's name is read and written back as it was") {
  const std::vector<std::string> names = all_names();
  REQUIRE(names.size() >= 189);
  for (const std::string& name : names) {
    INFO(name);
    const auto parsed = parse_variant(name);
    REQUIRE(parsed);
    CHECK(to_string(parsed.value()) == name);
  }
}

TEST_CASE("a name that is no variant's is a reason, never an error") {
  for (const char* name :
       {"", "-", "layerhub", "layerhub1", "layerhub1-cpu", "layerhub1-abc-x86_64-linux", "layerhub1-cu-x86_64-linux",
        "layerhub1-cu0128-x86_64-linux", "jax1-cpu-x86_64-linux", "layerhub1-cpu-x86_64-linux-extra", "torch-abacus"}) {
    INFO(name);
    CHECK_FALSE(parse_variant(name));
  }
}

TEST_CASE("a CUDA build fits the same major and the same or a newer minor") {
  SystemFacts facts;
  facts.cuda = BackendVersion{12, 8};
  CHECK(reason("layerhub1-cu128-x86_64-linux", facts, "cuda") == "fits");
  CHECK(reason("layerhub1-cu126-x86_64-linux", facts, "cuda") == "fits");
  CHECK(reason("layerhub1-cu129-x86_64-linux", facts, "cuda").starts_with("CUDA version (12.9) is not compatible"));
  CHECK(reason("layerhub1-cu130-x86_64-linux", facts, "cuda") ==
        "CUDA version (13.0) is not compatible with system CUDA version (12.8)");
  CHECK(reason("layerhub1-rocm70-x86_64-linux", facts, "cuda") ==
        "backend (rocm70) does not match selected backend (cu128)");
  CHECK(reason("layerhub1-cpu-aarch64-linux", facts, "cpu") == "CPU (aarch64) does not match system CPU (x86_64)");
  CHECK(reason("layerhub1-cpu-x86_64-darwin", facts, "cpu") == "OS (darwin) does not match system OS (linux)");
  CHECK(reason("torch27-cxx11-cpu-x86_64-linux", facts, "cpu") == "needs libtorch, this host has none");
}

TEST_CASE("the preference among variants does not depend on the order they are found in, and the trace names all") {
  SystemFacts facts;
  facts.cuda = BackendVersion{12, 8};
  std::vector<std::string> names{"layerhub1-cu126-x86_64-linux", "layerhub1-cu128-x86_64-linux",
                                 "layerhub1-cpu-x86_64-linux", "nonsense"};
  do {
    const auto verdicts = judge_variants(names, facts, "cuda");
    CHECK(verdicts.front().name == "layerhub1-cu128-x86_64-linux");
    CHECK(trace_lines(verdicts).size() == names.size());
  } while (std::next_permutation(names.begin(), names.end()));
}
