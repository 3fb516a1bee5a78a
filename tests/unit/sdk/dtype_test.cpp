// SPDX-License-Identifier: Apache-2.0
#include <layerhub/sdk/dtype.hpp>

#include "support/catch.hpp"

#include <cmath>
#include <limits>

namespace layerhub::sdk {
namespace {

// What binary16 bits mean, by the definition: sign, 5 bits of exponent, 10 of fraction.
double half_by_definition(std::uint32_t bits) {
  const double sign = bits & 0x8000u ? -1 : 1;
  const int exponent = static_cast<int>(bits >> 10 & 31u);
  const int fraction = static_cast<int>(bits & 0x3ffu);
  if (exponent == 31) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  }
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

// Which of the 65536 values lies nearest, found by bisection in doubles; ties to the even bits.
template <class T>
std::uint16_t nearest(float x, std::uint16_t infinity) {
  const double magnitude = std::abs(static_cast<double>(x));
  std::uint16_t low = 0, high = infinity;
  const auto value = [&](std::uint16_t bits) {
    if (bits == infinity) {  // where the value after the largest would lie
      return 2 * static_cast<double>(to_float(T{static_cast<std::uint16_t>(infinity - 1)})) -
             static_cast<double>(to_float(T{static_cast<std::uint16_t>(infinity - 2)}));
    }
    return static_cast<double>(to_float(T{bits}));
  };
  while (high - low > 1) {
    const auto middle = static_cast<std::uint16_t>((low + high) / 2);
    (value(middle) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - value(low), above = value(high) - magnitude;
  const std::uint16_t chosen = below < above || (below == above && low % 2 == 0) ? low : high;
  return static_cast<std::uint16_t>(chosen | (std::signbit(x) ? 0x8000u : 0u));
}

TEST_CASE("each of the 65536 binary16 values becomes the float that its bits define") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float got = to_float(float16{static_cast<std::uint16_t>(bits)});
    const double want = half_by_definition(bits);
    const bool same_value = std::isnan(want) ? std::isnan(got) : static_cast<double>(got) == want;
    if (!same_value || (!std::isnan(want) && std::signbit(got) != std::signbit(want))) FAIL(bits);
  }
  SUCCEED();
}

TEST_CASE("each 16-bit value survives the way to float and back") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float16 half{static_cast<std::uint16_t>(bits)};
    const bfloat16 brain{static_cast<std::uint16_t>(bits)};
    if (!std::isnan(to_float(half)) && from_float<float16>(to_float(half)).bits != bits) FAIL("float16 " << bits);
    if (!std::isnan(to_float(brain)) && from_float<bfloat16>(to_float(brain)).bits != bits) FAIL("bfloat16 " << bits);
    if (std::isnan(to_float(half)) && !std::isnan(to_float(from_float<float16>(to_float(half))))) FAIL("float16 NaN");
    if (std::isnan(to_float(brain)) && !std::isnan(to_float(from_float<bfloat16>(to_float(brain)))))
      FAIL("bfloat16 NaN");
  }
  SUCCEED();
}

TEST_CASE("a float is rounded to the nearest 16-bit value, a tie to the even one") {
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 8191) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (std::isnan(x) || std::isinf(x)) continue;
    if (from_float<float16>(x).bits != nearest<float16>(x, 0x7c00)) FAIL("float16 of " << x);
    if (from_float<bfloat16>(x).bits != nearest<bfloat16>(x, 0x7f80)) FAIL("bfloat16 of " << x);
  }
  // Halfway between each two neighbours, where only the tie rule decides.
  for (std::uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const float middle = (to_float(float16{bits}) + to_float(float16{static_cast<std::uint16_t>(bits + 1)})) / 2;
    if (from_float<float16>(middle).bits != (bits % 2 == 0 ? bits : bits + 1)) FAIL("tie at " << bits);
  }
  SUCCEED();
}

TEST_CASE("what is too large becomes infinity, and infinity stays what it is") {
  CHECK(from_float<float16>(65519.996f).bits == 0x7bff);
  CHECK(from_float<float16>(65520.f).bits == 0x7c00);
  CHECK(from_float<bfloat16>(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(from_float<float16>(-std::numeric_limits<float>::infinity()).bits == 0xfc00);
}

TEST_CASE("visit_float names the type of each float dtype and refuses the others") {
  int size = 0;
  CHECK(visit_float(bf16, [&]<class T>() { size = std::is_same_v<T, bfloat16>; }));
  CHECK(size == 1);
  CHECK_FALSE(visit_float(i32, [&]<class T>() { FAIL("an integer is no float"); }));
}

}  // namespace
}  // namespace layerhub::sdk
