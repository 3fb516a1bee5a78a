// SPDX-License-Identifier: Apache-2.0
#include "admission/elf_image.hpp"

#include "support/catch.hpp"
#include "support/rounds.hpp"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

using layerhub::admission::read_elf_image;

namespace {

using Bytes = std::vector<std::byte>;

// A real plugin, as the build made it.
Bytes plugin(const std::string& name = "twice") {
  std::ifstream file(LAYERHUB_FAKES_ROOT "/" + name + ".so", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

template <class T>
void set(Bytes& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

std::string refusal(const Bytes& bytes) {
  const auto image = read_elf_image(bytes, "a.so");
  return image ? "accepted" : image.error().text;
}

// Whatever it answers, it has read nothing outside of the bytes: they end where the allocation does, so that
// AddressSanitizer would see it.
bool answers(const Bytes& bytes) {
  const Bytes exact(bytes);
  const auto image = read_elf_image(exact, "a.so");
  return image.has_value() || image.error().text.starts_with("a.so: ");
}

}  // namespace

TEST_CASE("what a library exports and what it needs is read") {
  const Bytes bytes = plugin("throws");
  const auto image = read_elf_image(bytes, "throws.so");
  REQUIRE(image);
  const auto& exports = image.value().exports;
  CHECK(std::count_if(exports.begin(), exports.end(),
                      [](const auto& symbol) { return symbol.name == "lh_plugin_query_v1" && !symbol.unique; }) == 1);
  const auto& needed = image.value().needed;
  CHECK(std::count(needed.begin(), needed.end(), "libstdc++.so.6") == 1);
}

TEST_CASE("a library cut off before the end of its segments is refused, at every length") {
  const Bytes whole = plugin();
  // What the system's loader maps; what follows (section headers, symbols for debuggers) it never reads.
  Elf64_Ehdr header;
  std::memcpy(&header, whole.data(), sizeof header);
  std::size_t mapped = 0;
  for (std::size_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, whole.data() + header.e_phoff + i * sizeof segment, sizeof segment);
    if (segment.p_type == PT_LOAD) {
      mapped = std::max<std::size_t>(mapped, segment.p_offset + segment.p_filesz);
    }
  }
  REQUIRE(mapped > 4096);
  for (std::size_t length = 0; length < mapped; length += length < 1024 ? 1 : 97) {
    INFO(length);
    REQUIRE(refusal({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}) != "accepted");
  }
}

TEST_CASE("what is no shared library of this processor is refused with what it is") {
  const Bytes whole = plugin();
  const std::string text =
      "#!/bin/sh\necho a text file named .so, and long enough to be a header, if it were one ....\n";
  Bytes script(text.size());
  std::memcpy(script.data(), text.data(), text.size());
  CHECK(refusal(script) != "accepted");
  CHECK(refusal({}) != "accepted");

  Bytes changed = whole;
  set<unsigned char>(changed, EI_CLASS, ELFCLASS32);
  CHECK(refusal(changed) != "accepted");
  changed = whole;
  set<unsigned char>(changed, EI_DATA, ELFDATA2MSB);
  CHECK(refusal(changed) != "accepted");
  changed = whole;
  set<std::uint16_t>(changed, offsetof(Elf64_Ehdr, e_machine), EM_386);
  CHECK(refusal(changed) != "accepted");
  changed = whole;
  set<std::uint16_t>(changed, offsetof(Elf64_Ehdr, e_type), ET_REL);
  CHECK(refusal(changed) != "accepted");
}

TEST_CASE("any byte of the headers and the dynamic tables may be anything: there is an answer and no crash") {
  const Bytes whole = plugin();
  const std::size_t tables = std::min<std::size_t>(whole.size(), 4096);
  for (std::size_t at = 0; at < tables; ++at) {
    for (const int value : {0x00, 0x7f, 0x80, 0xff}) {
      Bytes changed = whole;
      set(changed, at, static_cast<unsigned char>(value));
      if (!answers(changed)) {
        FAIL("byte " << at << " set to " << value << ": the message does not name the file");
      }
    }
  }
}

TEST_CASE("random damage of many bytes at once gives an answer and no crash") {
  const Bytes whole = plugin();
  std::mt19937_64 random(20240611);
  for (int round = 0; round < layerhub::testing::rounds(3000); ++round) {
    Bytes changed = whole;
    for (int n = 1 + static_cast<int>(random() % 16); n > 0; --n) {
      // Whole words, and words that look like sizes and offsets, at the places where those stand.
      const std::size_t at = random() % (std::min<std::size_t>(whole.size(), 16384) - 8) & ~std::size_t{7};
      const std::uint64_t values[] = {0, 1, ~std::uint64_t{0}, whole.size(), whole.size() - 1, random(), 1ull << 63};
      set<std::uint64_t>(changed, at, values[random() % std::size(values)]);
    }
    REQUIRE(answers(changed));
  }
}
