// SPDX-License-Identifier: Apache-2.0
#include "device/cpu_device.hpp"

#include "hub/metadata.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <cstdlib>

#include <sys/syscall.h>
#include <unistd.h>

using namespace layerhub;
using device::lowered;

namespace {

hub::SystemFacts processor(std::uint32_t level, std::vector<std::string> features) {
  hub::SystemFacts facts;
  facts.cpu_capability = level;
  facts.cpu_features = std::move(features);
  return facts;
}

const hub::SystemFacts with_everything = processor(4, {"amx_bf16", "avx512_bf16", "avx512_vnni", "avx_vnni"});

// Of a plugin with a library for each level, the one that is chosen on such a processor.
std::string chosen(const hub::SystemFacts& facts) {
  hub::Metadata metadata;
  metadata.backend = "cpu";
  const auto add = [&](const char* file, std::uint32_t level, std::vector<std::string> features) {
    hub::LibraryInfo& library = metadata.libraries.emplace_back();
    library.file = file;
    library.capability = level;
    library.features = std::move(features);
  };
  add("v2", 2, {});
  add("v3", 3, {});
  add("v3-vnni", 3, {"avx_vnni"});
  add("v4", 4, {});
  add("v4-vnni", 4, {"avx512_bf16", "avx512_vnni"});
  add("v4-amx", 4, {"amx_bf16", "avx512_bf16", "avx512_vnni"});
  const std::vector<hub::LibraryVerdict> verdicts = hub::judge_libraries(metadata, facts);
  return verdicts.at(0).reason.empty() ? verdicts.at(0).library->file : "";
}

}  // namespace

TEST_CASE("LAYERHUB_CPU_CAPABILITY=3 is AVX2 alone, 3+avx_vnni keeps AVX-VNNI where the processor has it") {
  CHECK(chosen(with_everything) == "v4-amx");
  CHECK(chosen(lowered(with_everything, "3")) == "v3");
  CHECK(chosen(lowered(with_everything, "3+avx_vnni")) == "v3-vnni");
  CHECK(chosen(lowered(processor(4, {"avx512_vnni"}), "3+avx_vnni")) == "v3");
  CHECK(chosen(lowered(processor(3, {"avx_vnni"}), "3+avx_vnni")) == "v3-vnni");
  CHECK(chosen(lowered(processor(3, {"avx_vnni"}), "3")) == "v3");
  CHECK(chosen(lowered(with_everything, "4+avx512_bf16+avx512_vnni")) == "v4-vnni");
  CHECK(chosen(lowered(processor(3, {"avx_vnni"}), "4+avx512_bf16+avx512_vnni+avx_vnni")) == "v3-vnni");
  CHECK(chosen(lowered(with_everything, "4")) == "v4");
}

TEST_CASE("LAYERHUB_CPU_CAPABILITY never gives a processor what it lacks") {
  CHECK(chosen(lowered(processor(2, {}), "4+avx512_bf16+avx512_vnni")) == "v2");
  CHECK(chosen(lowered(processor(3, {}), "3+avx_vnni")) == "v3");
  CHECK(chosen(lowered(processor(1, {}), "3")).empty());
}

TEST_CASE("what LAYERHUB_CPU_CAPABILITY took away is told from what the processor lacks") {
  hub::Metadata metadata;
  metadata.backend = "cpu";
  metadata.libraries.resize(1);
  hub::LibraryInfo& library = metadata.libraries[0];
  const auto reason = [&](const hub::SystemFacts& facts) { return hub::judge_libraries(metadata, facts)[0].reason; };
  library.capability = 4;
  CHECK(reason(lowered(with_everything, "3")) == "needs x86-64 level 4, LAYERHUB_CPU_CAPABILITY leaves 3");
  CHECK(reason(lowered(processor(3, {"avx_vnni"}), "3")) == "needs x86-64 level 4, this processor has 3");
  CHECK(reason(lowered(processor(3, {}), "2")) == "needs x86-64 level 4, this processor has 3");
  library.features = {"amx_bf16", "avx512_vnni"};
  CHECK(reason(lowered(with_everything, "4")) ==
        "needs amx_bf16, avx512_vnni, which LAYERHUB_CPU_CAPABILITY leaves out");
  CHECK(reason(lowered(processor(4, {"avx512_vnni"}), "4")) == "needs amx_bf16, which this processor lacks");
  CHECK(reason(processor(4, {"amx_bf16"})) == "needs avx512_vnni, which this processor lacks");
}

TEST_CASE("a LAYERHUB_CPU_CAPABILITY that is no level changes nothing") {
  for (const char* wanted : {"", "0", "5", "v3", "33", "3,avx_vnni"}) {
    CHECK(chosen(lowered(with_everything, wanted)) == "v4-amx");
  }
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
TEST_CASE("the level and features of this processor are those that the compiler's own test finds") {
  if (std::getenv("LAYERHUB_CPU_CAPABILITY") != nullptr) {
    return;
  }
  const hub::SystemFacts& facts = device::system_facts();
  CHECK((facts.cpu_capability >= 2) == (__builtin_cpu_supports("x86-64-v2") != 0));
  CHECK((facts.cpu_capability >= 3) == (__builtin_cpu_supports("x86-64-v3") != 0));
  CHECK((facts.cpu_capability >= 4) == (__builtin_cpu_supports("x86-64-v4") != 0));
  const auto has = [&](const char* name) {
    return std::find(facts.cpu_features.begin(), facts.cpu_features.end(), name) != facts.cpu_features.end();
  };
  CHECK(has("avx_vnni") == (__builtin_cpu_supports("avxvnni") != 0));
  CHECK(has("avx512_vnni") == (__builtin_cpu_supports("avx512vnni") != 0));
  CHECK(has("avx512_bf16") == (__builtin_cpu_supports("avx512bf16") != 0));
  CHECK_FALSE(device::processor_name().empty());
}

TEST_CASE("amx_bf16 is a feature where the processor has it and the system lets this process use tile registers") {
  if (std::getenv("LAYERHUB_CPU_CAPABILITY") != nullptr) {
    return;
  }
  const std::vector<std::string>& features = device::system_facts().cpu_features;
  constexpr unsigned long permitted = 0x1022, tile_data = 1 << 18;  // ARCH_GET_XCOMP_PERM
  unsigned long components = 0;
  const bool answered = ::syscall(SYS_arch_prctl, permitted, &components) == 0;
  CHECK((std::count(features.begin(), features.end(), "amx_bf16") == 1) ==
        (__builtin_cpu_supports("amx-bf16") && answered && (components & tile_data) != 0));
}
#endif
