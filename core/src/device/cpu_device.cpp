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

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace layerhub {
namespace device {
namespace {

#if defined(__x86_64__)

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
  return r;
}

bool all(unsigned value, std::initializer_list<int> bits) {
  return std::all_of(bits.begin(), bits.end(), [&](int bit) { return (value >> bit & 1u) != 0; });
}

// Which register sets the system saves (XCR0).
unsigned saved_state() {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

std::uint32_t level(bool& avx, bool& avx512) {
  const Registers one = cpuid(1), seven = cpuid(7), extended = cpuid(0x80000001);
  const bool xsave = all(one.c, {27});
  const unsigned saved = xsave ? saved_state() : 0;
  avx = (saved & 0x06u) == 0x06u;
  avx512 = (saved & 0xe6u) == 0xe6u;
  // SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT, LAHF
  if (!all(one.c, {0, 9, 13, 19, 20, 23}) || !all(extended.c, {0})) {
    return 1;
  }
  // FMA MOVBE AVX F16C, BMI1 AVX2 BMI2, LZCNT
  if (!avx || !all(one.c, {12, 22, 28, 29}) || !all(seven.b, {3, 5, 8}) || !all(extended.c, {5})) {
    return 2;
  }
  // AVX512 F DQ CD BW VL
  return avx512 && all(seven.b, {16, 17, 28, 30, 31}) ? 4 : 3;
}

std::string brand() {
  char text[49] = {};
  for (unsigned i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002 + i);
    std::memcpy(text + 16 * i, &r, sizeof r);
  }
  std::string name = text;
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
}

void ask_processor(hub::SystemFacts& facts) {
  bool avx = false, avx512 = false;
  facts.cpu_capability = level(avx, avx512);
  const Registers seven = cpuid(7), seven_one = cpuid(7, 1);
  const auto add = [&](bool has, const char* name) {
    if (has) {
      facts.cpu_features.push_back(name);
    }
  };
  add(facts.cpu_capability >= 4 && all(seven_one.a, {5}), "avx512_bf16");
  add(facts.cpu_capability >= 4 && all(seven.c, {11}), "avx512_vnni");
  add(facts.cpu_capability >= 3 && all(seven_one.a, {4}), "avx_vnni");
  facts.cpu_name = brand();
}

#else

void ask_processor(hub::SystemFacts& facts) { facts.cpu_arch = "aarch64"; }

#endif

void lower(hub::SystemFacts& facts) {
  const std::optional<std::string> wanted = secure_environment("LAYERHUB_CPU_CAPABILITY");
  if (!wanted) {
    return;
  }
  if (wanted->empty() || (*wanted)[0] < '1' || (*wanted)[0] > '4' || (wanted->size() > 1 && (*wanted)[1] != '+')) {
    log(LogLevel::warn, "LAYERHUB_CPU_CAPABILITY is `{}`: it is ignored; give 1, 2, 3 or 4, or 3+avx_vnni",
        printable(*wanted));
    return;
  }
  const auto level = static_cast<std::uint32_t>((*wanted)[0] - '0');
  facts.cpu_capability = std::min(facts.cpu_capability, level);
  std::erase_if(facts.cpu_features, [named = *wanted + "+"](const std::string& feature) {
    return named.find("+" + feature + "+") == std::string::npos;
  });
}

}  // namespace

const hub::SystemFacts& system_facts() {
  static const hub::SystemFacts& facts = *new hub::SystemFacts([] {
    hub::SystemFacts asked;
    ask_processor(asked);
    lower(asked);
    return asked;
  }());
  return facts;
}

}  // namespace device
}  // namespace layerhub
