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

SystemFacts with_cuda_12_8() {
  SystemFacts facts;
  facts.cuda = BackendVersion{12, 8};
  return facts;
}

// Empty: none fits.
std::string chosen(const std::vector<std::string>& names, const SystemFacts& facts, const char* device) {
  const auto verdicts = judge_variants(names, facts, device);
  return verdicts.empty() || !verdicts.front().reason.empty() ? "" : verdicts.front().name;
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

TEST_CASE("variants: a CUDA build of the system's version fits, and so does one of an older minor") {
  CHECK(reason("layerhub1-cu128-x86_64-linux", with_cuda_12_8(), "cuda") == "fits");
  CHECK(reason("layerhub1-cu126-x86_64-linux", with_cuda_12_8(), "cuda") == "fits");
  CHECK(chosen({"layerhub1-cu126-x86_64-linux", "layerhub1-cu128-x86_64-linux"}, with_cuda_12_8(), "cuda") ==
        "layerhub1-cu128-x86_64-linux");
}

TEST_CASE("variants: no CUDA build of a newer minor fits, and none of another major") {
  CHECK(reason("layerhub1-cu129-x86_64-linux", with_cuda_12_8(), "cuda") ==
        "CUDA version (12.9) is not compatible with system CUDA version (12.8)");
  CHECK(reason("layerhub1-cu130-x86_64-linux", with_cuda_12_8(), "cuda") ==
        "CUDA version (13.0) is not compatible with system CUDA version (12.8)");
  CHECK(reason("layerhub1-cu118-x86_64-linux", with_cuda_12_8(), "cuda") ==
        "CUDA version (11.8) is not compatible with system CUDA version (12.8)");
}

TEST_CASE("variants: a ROCm build fits exactly its version") {
  SystemFacts facts;
  facts.rocm = BackendVersion{6, 3};
  CHECK(reason("layerhub1-rocm63-x86_64-linux", facts, "rocm") == "fits");
  CHECK(reason("layerhub1-rocm62-x86_64-linux", facts, "rocm") ==
        "ROCm version (6.2) is not compatible with system ROCm version (6.3)");
}

TEST_CASE("variants: the backend follows the device that is asked for, whatever else the system has") {
  CHECK(reason("layerhub1-cpu-x86_64-linux", with_cuda_12_8(), "cpu") == "fits");
  CHECK(reason("layerhub1-rocm70-x86_64-linux", with_cuda_12_8(), "cuda") ==
        "backend (rocm70) does not match selected backend (cu128)");
  CHECK(reason("layerhub1-cu128-x86_64-linux", with_cuda_12_8(), "cpu") ==
        "backend (cu128) does not match selected backend (cpu)");
}

TEST_CASE("variants: a build for another processor, system or framework is refused in the Hub's words") {
  CHECK(reason("layerhub1-cpu-aarch64-linux", {}, "cpu") == "CPU (aarch64) does not match system CPU (x86_64)");
  CHECK(reason("layerhub1-cpu-x86_64-darwin", {}, "cpu") == "OS (darwin) does not match system OS (linux)");
  CHECK(reason("layerhub2-cpu-x86_64-linux", {}, "cpu") == "needs major 2 of the ABI, this host has 1");
  for (const char* torch :
       {"torch27-cxx11-cpu-x86_64-linux", "torch-stable-abi29-cpu-x86_64-linux", "torch-cpu", "torch-universal"}) {
    CHECK(reason(torch, {}, "cpu") == "needs libtorch, this host has none");
  }
  CHECK(reason("tvm-ffi01-cpu-x86_64-linux", {}, "cpu") == "needs tvm-ffi, this host has none");
}

TEST_CASE("variants: where none fits none is chosen, and the trace says why for each") {
  const std::vector<std::string> names{"layerhub1-cpu-aarch64-linux", "torch-cpu", "nonsense"};
  CHECK(chosen(names, {}, "cpu").empty());
  CHECK(trace_lines(judge_variants(names, {}, "cpu")) ==
        std::vector<std::string>{"`layerhub1-cpu-aarch64-linux`: CPU (aarch64) does not match system CPU (x86_64)",
                                 "`nonsense`: it names no known framework (layerhub, torch, torch-stable-abi, tvm-ffi)",
                                 "`torch-cpu`: needs libtorch, this host has none"});
}

TEST_CASE("variants: preference and trace do not depend on the order in which folders are found") {
  std::vector<std::string> names{"layerhub1-cu126-x86_64-linux", "layerhub1-cu128-x86_64-linux",
                                 "layerhub1-cpu-x86_64-linux", "nonsense", "torch-cuda"};
  std::sort(names.begin(), names.end());
  const std::vector<std::string> trace = trace_lines(judge_variants(names, with_cuda_12_8(), "cuda"));
  REQUIRE(trace.size() == names.size());
  CHECK(trace[2] == "`layerhub1-cu128-x86_64-linux` compatible, preferred");
  do {
    CHECK(chosen(names, with_cuda_12_8(), "cuda") == "layerhub1-cu128-x86_64-linux");
    CHECK(trace_lines(judge_variants(names, with_cuda_12_8(), "cuda")) == trace);
  } while (std::next_permutation(names.begin(), names.end()));
}
