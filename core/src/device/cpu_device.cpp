// SPDX-License-Identifier: Apache-2.0
#include "device/cpu_device.hpp"

#include "base/log.hpp"
#include "base/os.hpp"
#include "base/reason.hpp"
#include "device/device_types.hpp"

#include <layerhub/device.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#ifdef __clang__
#define _Bool bool  // the header of glibc 2.36 is C here: g++ takes it in C++ too
#endif
#include <sys/platform/x86.h>
#undef _Bool
#include <layerhub/sdk/tile_registers.hpp>
#endif

namespace layerhub {
namespace device {
namespace {

#if defined(__x86_64__)

constexpr const char* tile_feature = "amx_bf16";

// The C library asked the processor when the process started, and "active" is what the system saves registers for as
// well. Asking again would be an instruction that leaves a virtual machine: here 15 us each time, more than a load.
std::uint32_t level() {
  if (!CPU_FEATURE_ACTIVE(SSE3) || !CPU_FEATURE_ACTIVE(SSSE3) || !CPU_FEATURE_ACTIVE(CMPXCHG16B) ||
      !CPU_FEATURE_ACTIVE(SSE4_1) || !CPU_FEATURE_ACTIVE(SSE4_2) || !CPU_FEATURE_ACTIVE(POPCNT) ||
      !CPU_FEATURE_ACTIVE(LAHF64_SAHF64)) {
    return 1;
  }
  if (!CPU_FEATURE_ACTIVE(AVX) || !CPU_FEATURE_ACTIVE(AVX2) || !CPU_FEATURE_ACTIVE(BMI1) ||
      !CPU_FEATURE_ACTIVE(BMI2) || !CPU_FEATURE_ACTIVE(F16C) || !CPU_FEATURE_ACTIVE(FMA) ||
      !CPU_FEATURE_ACTIVE(LZCNT) || !CPU_FEATURE_ACTIVE(MOVBE)) {
    return 2;
  }
  return CPU_FEATURE_ACTIVE(AVX512F) && CPU_FEATURE_ACTIVE(AVX512BW) && CPU_FEATURE_ACTIVE(AVX512CD) &&
                 CPU_FEATURE_ACTIVE(AVX512DQ) && CPU_FEATURE_ACTIVE(AVX512VL)
             ? 4
             : 3;
}

void ask_processor(hub::SystemFacts& facts) {
  facts.cpu_capability = level();
  const auto add = [&](bool has, const char* name) {
    if (has) {
      facts.cpu_features.push_back(name);
    }
  };
  add(facts.cpu_capability >= 4 && CPU_FEATURE_ACTIVE(AMX_TILE) && CPU_FEATURE_ACTIVE(AMX_BF16), tile_feature);
  add(facts.cpu_capability >= 4 && CPU_FEATURE_ACTIVE(AVX512_BF16), "avx512_bf16");
  add(facts.cpu_capability >= 4 && CPU_FEATURE_ACTIVE(AVX512_VNNI), "avx512_vnni");
  add(facts.cpu_capability >= 3 && CPU_FEATURE_ACTIVE(AVX_VNNI), "avx_vnni");
}

void ask_system(hub::SystemFacts& facts) {
  std::erase_if(facts.cpu_features,
                [](const std::string& f) { return f == tile_feature && !sdk::permit_tile_registers(); });
}

std::string brand() {
  constexpr unsigned extended = 0x80000000, first = extended + 2, leaves = 3;
  char text[16 * leaves + 1] = {};
  // Asked once for what there is, not before each leaf: a hypervisor takes microseconds for an answer.
  if (__get_cpuid_max(extended, nullptr) >= first + leaves - 1) {
    for (unsigned i = 0; i < leaves; ++i) {
      unsigned registers[4] = {};
      __cpuid(first + i, registers[0], registers[1], registers[2], registers[3]);
      std::memcpy(text + 16 * i, registers, sizeof registers);
    }
  }
  std::string name = text;
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
}

#else

void ask_processor(hub::SystemFacts& facts) { facts.cpu_arch = "aarch64"; }

void ask_system(hub::SystemFacts&) {}

std::string brand() { return {}; }

#endif

}  // namespace

const hub::SystemFacts& system_facts() {
  static const hub::SystemFacts& facts = *new hub::SystemFacts([] {
    hub::SystemFacts asked;
    ask_processor(asked);
    const std::optional<std::string> wanted = secure_environment("LAYERHUB_CPU_CAPABILITY");
    if (wanted) {
      asked = lowered(std::move(asked), *wanted);
    }
    ask_system(asked);
    return asked;
  }());
  return facts;
}

hub::SystemFacts lowered(hub::SystemFacts facts, std::string_view wanted) {
  if (wanted.empty() || wanted[0] < '1' || wanted[0] > '4' || (wanted.size() > 1 && wanted[1] != '+')) {
    log(LogLevel::warn, "LAYERHUB_CPU_CAPABILITY is `{}`: it is ignored; give 1, 2, 3 or 4, or 3+avx_vnni",
        printable(wanted));
    return facts;
  }
  const auto level = static_cast<std::uint32_t>(wanted[0] - '0');
  if (level < facts.cpu_capability) {
    facts.lowered_capability = std::exchange(facts.cpu_capability, level);
  }
  const std::string named = fmt::format("{}+", wanted);
  const auto left_out = std::stable_partition(
      facts.cpu_features.begin(), facts.cpu_features.end(),
      [&](const std::string& feature) { return named.find("+" + feature + "+") != std::string::npos; });
  facts.lowered_features.assign(left_out, facts.cpu_features.end());
  facts.cpu_features.erase(left_out, facts.cpu_features.end());
  return facts;
}

const std::string& processor_name() {
  static const std::string& name = *new std::string(brand());
  return name;
}

}  // namespace device
}  // namespace layerhub
