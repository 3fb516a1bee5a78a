// SPDX-License-Identifier: Apache-2.0
#include <layerhub/sdk/vector.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

namespace layerhub::sdk {
namespace {

TEMPLATE_TEST_CASE("a vector loads each 16-bit value as the scalar conversion does, and stores it back", "", bfloat16,
                   float16) {
  for (std::uint32_t begin = 0; begin < 65536; begin += lanes) {
    std::array<TestType, lanes> in{}, out{};
    for (std::uint32_t i = 0; i < lanes; ++i) in[i] = TestType{static_cast<std::uint16_t>(begin + i)};
    const Floats v = load(in.data(), Whole{});
    store(out.data(), v, Whole{});
    for (std::uint32_t i = 0; i < lanes; ++i) {
      const float want = to_float(in[i]);
      const bool right = std::isnan(want) ? std::isnan(v[i]) && std::isnan(to_float(out[i]))
                                          : v[i] == want && out[i].bits == in[i].bits;
      if (!right) FAIL(begin + i);
    }
  }
  SUCCEED();
}

TEMPLATE_TEST_CASE("a vector rounds floats as the scalar conversion does", "", bfloat16, float16) {
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 2047) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    std::array<TestType, lanes> out{};
    store(out.data(), broadcast(x), Whole{});
    const bool right = std::isnan(x) ? std::isnan(to_float(out[0])) : out[0].bits == from_float<TestType>(x).bits;
    if (!right) FAIL(x);
  }
  SUCCEED();
}

TEST_CASE("pairs of bfloat16 are loaded and rounded as the scalar conversions do, NaN that is canonical too") {
  std::array<bfloat16, 2 * lanes> in{}, out{};
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 2047) {
    const float x = canonical(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    in.fill(from_float<bfloat16>(x));
    const FloatPair loaded = load(in.data(), Pair{});
    store(out.data(), FloatPair{broadcast(x), broadcast(-x)}, Pair{});
    const bool right = std::isnan(x)
                           ? std::isnan(to_float(out[0])) && std::isnan(to_float(out[1])) && std::isnan(loaded.odd[0])
                           : out[0].bits == in[0].bits && out[1].bits == from_float<bfloat16>(-x).bits &&
                                 loaded.even[0] == to_float(in[0]) && loaded.odd[0] == loaded.even[0];
    if (!right) FAIL(x);
  }
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = bfloat16{static_cast<std::uint16_t>(0x3f80 + i)};
  store(out.data(), load(in.data(), Pair{}), Pair{});
  CHECK(std::equal(in.begin(), in.end(), out.begin(), [](bfloat16 a, bfloat16 b) { return a.bits == b.bits; }));
}

TEMPLATE_TEST_CASE("a part neither reads nor writes beyond its count", "", float, bfloat16, float16) {
  for (std::int64_t count = 1; count < lanes; ++count) {
    std::vector<TestType> in(static_cast<std::size_t>(count),
                             from_float<TestType>(2.f));  // its end is the heap block's
    std::array<TestType, lanes> out{};
    const Floats v = load(in.data(), Part{count});
    store(out.data(), v + 1.f, Part{count});
    for (std::int64_t i = 0; i < lanes; ++i) {
      CHECK(v[i] == (i < count ? 2.f : 0.f));
      CHECK(to_float(out[static_cast<std::size_t>(i)]) == (i < count ? 3.f : 0.f));
    }
  }
}

TEMPLATE_TEST_CASE("write fills exactly its elements, past the cache or not, from any address", "", float, bfloat16,
                   float16) {
  for (const bool is_streamed : {false, true}) {
    for (std::size_t offset = 0; offset < 20; ++offset) {
      for (std::int64_t count = 0; count < 70; ++count) {
        alignas(64) std::array<TestType, 128> y{};
        write(y.data() + offset, count, is_streamed, [&](std::int64_t begin, auto) {
          Floats v{};
          for (int i = 0; i < lanes; ++i) v[i] = static_cast<float>(begin + i + 1);
          return v;
        });
        stream_end();
        for (std::size_t i = 0; i < y.size(); ++i) {
          const auto position = static_cast<std::int64_t>(i) - static_cast<std::int64_t>(offset);
          const bool inside = position >= 0 && position < count;
          if (to_float(y[i]) != (inside ? static_cast<float>(position + 1) : 0.f))
            FAIL(offset << "+" << count << " at " << i);
        }
      }
    }
  }
  SUCCEED();
}

TEST_CASE("write by pairs gives the bits that it gives without, past the cache or not, from any address") {
  constexpr std::int64_t count = 1000;
  std::vector<bfloat16> x(count), y(count + 40), other(count + 40);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = from_float<bfloat16>(std::sin(static_cast<float>(i)));
  const auto squared = [&](std::int64_t i, auto extent) {
    return load(&x[static_cast<std::size_t>(i)], extent) * load(&x[static_cast<std::size_t>(i)], extent) * 3.f;
  };
  for (const bool is_streamed : {false, true}) {
    for (std::int64_t offset = 0; offset < 34; ++offset) {
      write(y.data() + offset, count, is_streamed, ByPairs{squared});
      write(other.data() + offset, count, false, squared);
      CHECK(std::memcmp(y.data() + offset, other.data() + offset, count * sizeof(bfloat16)) == 0);
    }
  }
}

TEST_CASE("the pairs that write asks for begin at a line of the cache where they are streamed, else at y") {
  alignas(64) std::array<bfloat16, 256> y{};
  for (const bool is_streamed : {false, true}) {
    for (std::size_t offset = 0; offset < 40; ++offset) {
      std::vector<std::int64_t> pairs;
      const auto seen = [&](std::int64_t i, auto extent) {
        if constexpr (std::is_same_v<decltype(extent), Pair>) pairs.push_back(i);
        return load(&y[offset + static_cast<std::size_t>(i)], extent);
      };
      write(&y[offset], 128, is_streamed, ByPairs{seen});
      if (!detail::rounds_pairs) continue;  // an instruction does: there are none
      REQUIRE(!pairs.empty());
      CHECK(pairs.front() == first_register(&y[offset], is_streamed));
      CHECK((!is_streamed ||
             reinterpret_cast<std::uintptr_t>(&y[offset + static_cast<std::size_t>(pairs.front())]) % 64 == 0));
      for (const std::int64_t i : pairs) CHECK((i - pairs.front()) % (2 * lanes) == 0);
    }
  }
}

TEMPLATE_TEST_CASE("write rounds as store does, and prepares each line that goes past the cache once, in order", "",
                   float, bfloat16, float16) {
  constexpr std::int64_t count = 4096, line = 64 / sizeof(TestType);
  std::vector<float> x(count);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::bit_cast<float>(static_cast<std::uint32_t>(i * 2654435761u));
  alignas(64) static std::array<TestType, count> want, got;
  for (std::int64_t i = 0; i < count; i += lanes) {
    store(want.data() + i, load(x.data() + i, Whole{}), Whole{});
  }
  std::int64_t prepared = 0;
  write(
      got.data(), count, true, [&](std::int64_t i, auto extent) { return load(x.data() + i, extent); },
      [&](std::int64_t begin) {
        CHECK(begin == prepared);
        prepared += line;
      });
  stream_end();
  CHECK(prepared == count);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool right = std::isnan(x[i]) ? std::isnan(to_float(got[i])) : to_float(got[i]) == to_float(want[i]);
    if (!right) FAIL(x[i]);
  }
}

TEST_CASE("sum adds every lane once") {
  Floats v{};
  for (int i = 0; i < lanes; ++i) v[i] = static_cast<float>(1 << i);
  CHECK(sum(v) == static_cast<float>((1 << lanes) - 1));
}

}  // namespace
}  // namespace layerhub::sdk
