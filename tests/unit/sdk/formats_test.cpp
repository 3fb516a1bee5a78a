// SPDX-License-Identifier: Apache-2.0
#include <layerhub/sdk/formats.hpp>

#include "support/catch.hpp"

#include <vector>

namespace layerhub::sdk {
namespace {

// A block with scale d, offset m where the format has one, and the codes that `code` gives for each byte.
template <class Code>
std::vector<float> values(std::string_view name, float d, float m, Code code) {
  const BlockFormat& format = *find_block_format(name);
  std::vector<std::uint8_t> block(static_cast<std::size_t>(format.bytes));
  const float16 scale = from_float<float16>(d);
  const float16 offset = from_float<float16>(m);
  const std::size_t first = name == "gguf.q4_1" ? 4 : 2;
  std::memcpy(block.data(), &scale, 2);
  if (first == 4) std::memcpy(block.data() + 2, &offset, 2);
  for (std::size_t i = first; i < block.size(); ++i) block[i] = static_cast<std::uint8_t>(code(i - first));
  std::vector<float> out(static_cast<std::size_t>(format.elements));
  format.dequantize(block.data(), out.data());
  return out;
}

TEST_CASE("q4_0 holds the first 16 elements in low nibbles, the others in high ones, about 8") {
  const auto out = values("gguf.q4_0", 0.5f, 0, [](std::size_t i) { return i | (15 - i) << 4; });
  for (std::size_t i = 0; i < 16; ++i) {
    CHECK(out[i] == 0.5f * (static_cast<float>(i) - 8));
    CHECK(out[i + 16] == 0.5f * (7 - static_cast<float>(i)));
  }
}

TEST_CASE("q4_1 adds its offset to unsigned nibbles") {
  const auto out = values("gguf.q4_1", 0.25f, -3.f, [](std::size_t i) { return i | (15 - i) << 4; });
  for (std::size_t i = 0; i < 16; ++i) {
    CHECK(out[i] == 0.25f * static_cast<float>(i) - 3);
    CHECK(out[i + 16] == 0.25f * (15 - static_cast<float>(i)) - 3);
  }
}

TEST_CASE("q8_0 holds signed bytes") {
  const auto out = values("gguf.q8_0", 2.f, 0, [](std::size_t i) { return 240 + i; });
  for (std::size_t i = 0; i < 32; ++i) CHECK(out[i] == 2 * static_cast<float>(static_cast<std::int8_t>(240 + i)));
}

TEST_CASE("a row of 576 elements has the bytes that GGUF files give it") {
  const auto bytes = [](std::string_view name) {
    return 576 / find_block_format(name)->elements * find_block_format(name)->bytes;
  };
  CHECK(bytes("gguf.q4_0") == 324);
  CHECK(bytes("gguf.q4_1") == 360);
  CHECK(bytes("gguf.q8_0") == 612);
}

TEST_CASE("a format that the table does not have is not found") { CHECK(find_block_format("gguf.q4_k") == nullptr); }

}  // namespace
}  // namespace layerhub::sdk
