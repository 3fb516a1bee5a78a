// SPDX-License-Identifier: Apache-2.0
// The wide levels of the same source are held to the same by the tests of kernels; here the vectors are the
// baseline's.
#include <layerhub/sdk/vector_math.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace layerhub::sdk {
namespace {

// |got - want| in units of the last place of a float near `want`.
double ulps(float got, double want) {
  const auto rounded = static_cast<float>(want);
  if (std::isinf(rounded) || std::isinf(got)) return rounded == got ? 0 : 1e9;
  const float magnitude = std::max(std::abs(rounded), std::numeric_limits<float>::min());
  return std::abs(static_cast<double>(got) - want) /
         (static_cast<double>(std::nextafter(magnitude, 1e38f)) - static_cast<double>(magnitude));
}

TEST_CASE("exp is within 2 units in the last place for every 509th float that neither overflows nor vanishes") {
  double worst = 0;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 509) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (!(x >= -110 && x <= 95)) continue;
    worst = std::max(worst, ulps(exp(broadcast(x))[0], std::exp(static_cast<double>(x))));
  }
  CHECK(worst <= 2);
}

TEST_CASE("exp2_of_moderate is within 2 units in the last place wherever it may be used, and exact for integers") {
  double worst = 0;
  for (float x = -126; x <= 127; x += 0.0007f) {
    worst = std::max(worst, ulps(exp2_of_moderate(broadcast(x))[0], std::exp2(static_cast<double>(x))));
  }
  CHECK(worst <= 2);
  for (int n = -126; n <= 127; ++n) {
    CHECK(exp2_of_moderate(broadcast(static_cast<float>(n)))[0] == std::ldexp(1.f, n));
  }
}

TEST_CASE("exp gives infinity, zero and NaN where they belong") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(exp(broadcast(infinity))[0] == infinity);
  CHECK(exp(broadcast(1e30f))[0] == infinity);
  CHECK(exp(broadcast(-infinity))[0] == 0);
  CHECK(std::isnan(exp(broadcast(std::numeric_limits<float>::quiet_NaN()))[0]));
  CHECK(exp(broadcast(0.f))[0] == 1);
}

TEST_CASE("a NaN of any bits stays NaN") {
  for (std::uint32_t mantissa = 1; mantissa < 0x800000; mantissa += 509) {
    for (const std::uint32_t sign : {0u, 0x80000000u}) {
      const Floats nan = broadcast(std::bit_cast<float>(sign | 0x7f800000 | mantissa));
      const bool stays = std::isnan(exp(nan)[0]) && std::isnan(times_sigmoid(nan, nan)[0]) &&
                         std::isnan(exp2_of_moderate(nan)[0]) && std::isnan(normal_cdf(nan)[0]);
      if (!stays) FAIL(mantissa << " does not");
    }
  }
  SUCCEED();
}

TEST_CASE("normal_cdf is within 2e-7 of erfc, and keeps its digits far below zero") {
  for (float x = -12; x < 12; x += 0.001f) {
    const double want = 0.5 * std::erfc(static_cast<double>(-x) / std::sqrt(2.0));
    const double off = std::abs(static_cast<double>(normal_cdf(broadcast(x))[0]) - want);
    if (off > 2e-7 || (x > -9 && off > 1e-5 * want)) FAIL(x << " is off by " << off);
  }
  SUCCEED();
}

TEST_CASE("normal_density is within 1e-7 of the formula, and keeps its digits far from zero") {
  for (float x = -12; x < 12; x += 0.001f) {
    const double want =
        std::exp(-0.5 * static_cast<double>(x) * static_cast<double>(x)) / std::sqrt(2 * std::acos(-1.0));
    const double off = std::abs(static_cast<double>(normal_density(broadcast(x))[0]) - want);
    if (off > 1e-7 || (std::abs(x) < 9 && off > 1e-5 * want)) FAIL(x << " is off by " << off);
  }
  CHECK(normal_density(broadcast(std::numeric_limits<float>::infinity()))[0] == 0);
}

TEMPLATE_TEST_CASE("sigmoid is as exact as results of its dtype can tell, wherever it is a normal number", "", float,
                   float16, bfloat16) {
  const bool has_two_parts = detail::Exponential<5>::least_degree_of_two_parts == 5;
  const double bound = std::is_same_v<TestType, bfloat16> ? 2e-4 : has_two_parts ? 4e-7 : 5e-7;
  for (float x = -87; x <= 100; x += 0.0007f) {
    const double want = 1 / (1 + std::exp(-static_cast<double>(x)));
    const double off = std::abs(static_cast<double>(sigmoid<TestType>(broadcast(x))[0]) - want);
    if (!(off <= bound * want)) FAIL(x << " is off by " << off / want);
  }
  SUCCEED();
}

TEMPLATE_TEST_CASE("sigmoid saturates, and NaN stays NaN", "", float, bfloat16) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float large : {89.f, 1e30f, infinity}) {
    CHECK(sigmoid<TestType>(broadcast(-large))[0] == 0);
    CHECK(sigmoid<TestType>(broadcast(large))[0] == 1);
  }
  CHECK(sigmoid<TestType>(broadcast(0.f))[0] == 0.5f);
  CHECK(std::isnan(sigmoid<TestType>(broadcast(std::numeric_limits<float>::quiet_NaN()))[0]));
}

TEMPLATE_TEST_CASE("x sigmoid(u) is x or 0 where sigmoid saturates, also of the largest x", "", float, bfloat16) {
  constexpr float most = std::numeric_limits<float>::max(), infinity = std::numeric_limits<float>::infinity();
  for (const float x : {1.f, -1.f, 1e30f, most, -most}) {
    CHECK(times_sigmoid<TestType>(broadcast(x), broadcast(89.f))[0] == x);
    CHECK(times_sigmoid<TestType>(broadcast(x), broadcast(infinity))[0] == x);
    CHECK(times_sigmoid<TestType>(broadcast(x), broadcast(-89.f))[0] == 0);
    CHECK(times_sigmoid<TestType>(broadcast(x), broadcast(-infinity))[0] == 0);
  }
  CHECK(times_sigmoid<TestType>(broadcast(infinity), broadcast(infinity))[0] == infinity);
}

TEST_CASE("within keeps to its bounds, and NaN stays NaN") {
  CHECK(within(broadcast(-3.f), -1.f, 2.f)[0] == -1);
  CHECK(within(broadcast(3.f), -1.f, 2.f)[0] == 2);
  CHECK(within(broadcast(0.5f), -1.f, 2.f)[0] == 0.5f);
  CHECK(std::isnan(within(broadcast(std::numeric_limits<float>::quiet_NaN()), -1.f, 2.f)[0]));
}

}  // namespace
}  // namespace layerhub::sdk
