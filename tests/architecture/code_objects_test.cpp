// SPDX-License-Identifier: Apache-2.0
// What a library carries for a GPU is what its metadata promises: the targets of the code objects, read from the file
// without a card, a driver or the vendor's tools, against `archs`.
//
// Two containers are read. CUDA's section .nv_fatbin holds one for each source: a header, then entries, each a header
// with its kind (1: PTX, 2: a cubin), its size and its compute capability. HIP's section .hip_fatbin holds bundles of
// clang: a magic, a count, and for each entry offset, size and a name such as "hipv4-amdgcn-amd-amdhsa--gfx90a"; the
// linker pads each to a page.
#include "support/catch.hpp"

#include <elf.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Targets = std::set<std::string>;

std::string bytes_of(const fs::path& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

template <class T>
T read(std::string_view bytes, std::size_t at) {
  T value;
  REQUIRE(at + sizeof value <= bytes.size());
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::string_view section(std::string_view elf, std::string_view name) {
  const auto header = read<Elf64_Ehdr>(elf, 0);
  const auto at = [&](std::size_t i) { return read<Elf64_Shdr>(elf, header.e_shoff + i * sizeof(Elf64_Shdr)); };
  const Elf64_Shdr names = at(header.e_shstrndx);
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr found = at(i);
    if (elf.data() + names.sh_offset + found.sh_name == name) {
      return elf.substr(found.sh_offset, found.sh_size);
    }
  }
  return {};
}

// "9.0a", as in metadata.
std::string capability_text(std::uint32_t capability, bool is_specific) {
  return std::to_string(capability / 10) + "." + std::to_string(capability % 10) + (is_specific ? "a" : "");
}

// The targets of one container of CUDA at `at`, which moves behind it.
Targets cuda_container(std::string_view section, std::size_t& at) {
  constexpr std::uint64_t specific_flag = 1u << 20;
  Targets targets, with_ptx;
  const std::size_t end = at + read<std::uint16_t>(section, at + 6) + read<std::uint64_t>(section, at + 8);
  for (at += read<std::uint16_t>(section, at + 6); at < end;) {
    const auto kind = read<std::uint16_t>(section, at);
    const std::string target = capability_text(read<std::uint32_t>(section, at + 28),
                                               (read<std::uint64_t>(section, at + 40) & specific_flag) != 0);
    CHECK((kind == 1 || kind == 2));
    (kind == 1 ? with_ptx : targets).insert(target);
    at += read<std::uint32_t>(section, at + 4) + read<std::uint64_t>(section, at + 8);
  }
  for (const std::string& target : with_ptx) {
    targets.erase(target);
    targets.insert(target + "+PTX");
  }
  return targets;
}

std::vector<Targets> cuda_targets(std::string_view section) {
  constexpr std::uint32_t magic = 0xba55ed50;
  std::vector<Targets> found;
  for (std::size_t at = 0; at + 16 <= section.size();) {
    if (read<std::uint32_t>(section, at) == magic) {
      found.push_back(cuda_container(section, at));
    } else {
      at += 8;  // containers are aligned
    }
  }
  return found;
}

std::vector<Targets> hip_targets(std::string_view section) {
  constexpr std::string_view magic = "__CLANG_OFFLOAD_BUNDLE__", prefix = "hipv4-amdgcn-amd-amdhsa--";
  std::vector<Targets> found;
  for (std::size_t begin = section.find(magic); begin != section.npos; begin = section.find(magic, begin + 1)) {
    Targets targets;
    std::size_t at = begin + magic.size();
    const auto count = read<std::uint64_t>(section, at);
    at += sizeof count;
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto size = read<std::uint64_t>(section, at + 8), length = read<std::uint64_t>(section, at + 16);
      const std::string_view name = section.substr(at + 24, length);
      at += 24 + length;
      if (name.starts_with(prefix)) {
        CHECK(size != 0);
        targets.emplace(name.substr(prefix.size()));
      }
    }
    found.push_back(targets);
  }
  return found;
}

// Each library whose metadata is for the backend, with its metadata's archs.
template <class Run>
int for_each_library(const std::string& backend, Run&& run) {
  int libraries = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(LAYERHUB_PLUGIN_ROOT)) {
    if (entry.path().filename() != "metadata.json") {
      continue;
    }
    const auto metadata = nlohmann::json::parse(bytes_of(entry.path()));
    if (metadata["backend"]["type"] != backend) {
      continue;
    }
    for (const auto& library : metadata["layerhub"]["libraries"]) {
      const fs::path path = entry.path().parent_path() / library["file"].get<std::string>();
      INFO(path.string());
      run(bytes_of(path), metadata["backend"]["archs"].get<Targets>());
      ++libraries;
    }
  }
  return libraries;
}

}  // namespace

TEST_CASE("every source of a CUDA library is there for exactly the targets that metadata names") {
  const int libraries = for_each_library("cuda", [](const std::string& elf, const Targets& archs) {
    const std::vector<Targets> found = cuda_targets(section(elf, ".nv_fatbin"));
    CHECK_FALSE(found.empty());
    for (const Targets& targets : found) {
      CHECK(targets == archs);
    }
  });
  if (libraries == 0) {
    WARN("skipped: no CUDA library is built here");
  }
}

TEST_CASE("every source of a HIP library is there for exactly the targets that metadata names") {
  const int libraries = for_each_library("rocm", [](const std::string& elf, const Targets& archs) {
    const std::vector<Targets> found = hip_targets(section(elf, ".hip_fatbin"));
    CHECK_FALSE(found.empty());
    for (const Targets& targets : found) {
      CHECK(targets == archs);
    }
  });
  if (libraries == 0) {
    WARN("skipped: no HIP library is built here");
  }
}
