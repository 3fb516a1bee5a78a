// SPDX-License-Identifier: Apache-2.0
// What a library carries for a GPU is what its metadata promises: the targets of the code objects, read from the file
// without a card, a driver or the vendor's tools, against `archs`; and every target has every kernel.
//
// Two containers are read. CUDA's section .nv_fatbin holds one for each source: a header, then entries, each a header
// with its kind (1: PTX, 2: a cubin), its size and its compute capability. HIP's section .hip_fatbin holds bundles of
// clang: a magic, a count, and for each entry offset, size and a name such as "hipv4-amdgcn-amd-amdhsa--gfx90a"; the
// linker pads each to a page. The code objects themselves are ELF on both sides.
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

// What one source became for one target.
struct CodeObject {
  std::string target;      // as in metadata: "9.0a", "gfx90a"; "+PTX" behind what is no machine code yet
  std::string_view bytes;  // ELF, but for PTX
};
using Source = std::vector<CodeObject>;

Elf64_Shdr section_header(std::string_view elf, std::size_t index) {
  return read<Elf64_Shdr>(elf, read<Elf64_Ehdr>(elf, 0).e_shoff + index * sizeof(Elf64_Shdr));
}

std::string_view section(std::string_view elf, std::string_view name) {
  const auto header = read<Elf64_Ehdr>(elf, 0);
  const Elf64_Shdr names = section_header(elf, header.e_shstrndx);
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr found = section_header(elf, i);
    if (elf.data() + names.sh_offset + found.sh_name == name) {
      return elf.substr(found.sh_offset, found.sh_size);
    }
  }
  return {};
}

// The kernels of a code object: CUDA marks their symbols by a bit, HIP has a descriptor "<kernel>.kd" for each.
Targets kernels_of(std::string_view elf) {
  constexpr unsigned char entry_bit = 0x10;
  Targets kernels;
  for (std::size_t i = 0; i < read<Elf64_Ehdr>(elf, 0).e_shnum; ++i) {
    const Elf64_Shdr table = section_header(elf, i);
    if (table.sh_type != SHT_SYMTAB) {
      continue;
    }
    const std::size_t names = section_header(elf, table.sh_link).sh_offset;
    for (std::size_t at = table.sh_offset; at < table.sh_offset + table.sh_size; at += sizeof(Elf64_Sym)) {
      const auto symbol = read<Elf64_Sym>(elf, at);
      const std::string_view name(elf.data() + names + symbol.st_name);
      if (name.ends_with(".kd") || (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && (symbol.st_other & entry_bit) != 0)) {
        kernels.emplace(name);
      }
    }
  }
  return kernels;
}

// "9.0a", as in metadata.
std::string capability_text(std::uint32_t capability, bool is_specific) {
  return std::to_string(capability / 10) + "." + std::to_string(capability % 10) + (is_specific ? "a" : "");
}

// The container of CUDA at `at`, which moves behind it.
Source cuda_container(std::string_view section, std::size_t& at) {
  constexpr std::uint64_t specific_flag = 1u << 20;
  Source source;
  const std::size_t end = at + read<std::uint16_t>(section, at + 6) + read<std::uint64_t>(section, at + 8);
  for (at += read<std::uint16_t>(section, at + 6); at < end;) {
    const auto kind = read<std::uint16_t>(section, at);
    const auto header = read<std::uint32_t>(section, at + 4);
    const auto size = read<std::uint64_t>(section, at + 8);
    const bool is_specific = (read<std::uint64_t>(section, at + 40) & specific_flag) != 0;
    CHECK((kind == 1 || kind == 2));
    source.push_back({capability_text(read<std::uint32_t>(section, at + 28), is_specific) + (kind == 1 ? "+PTX" : ""),
                      section.substr(at + header, size)});
    at += header + size;
  }
  return source;
}

std::vector<Source> cuda_sources(std::string_view section) {
  constexpr std::uint32_t magic = 0xba55ed50;
  std::vector<Source> found;
  for (std::size_t at = 0; at + 16 <= section.size();) {
    if (read<std::uint32_t>(section, at) == magic) {
      found.push_back(cuda_container(section, at));
    } else {
      at += 8;  // containers are aligned
    }
  }
  return found;
}

std::vector<Source> hip_sources(std::string_view section) {
  constexpr std::string_view magic = "__CLANG_OFFLOAD_BUNDLE__", prefix = "hipv4-amdgcn-amd-amdhsa--";
  std::vector<Source> found;
  for (std::size_t begin = section.find(magic); begin != section.npos; begin = section.find(magic, begin + 1)) {
    Source source;
    std::size_t at = begin + magic.size();
    const auto count = read<std::uint64_t>(section, at);
    at += sizeof count;
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto offset = read<std::uint64_t>(section, at), size = read<std::uint64_t>(section, at + 8);
      const std::string_view name = section.substr(at + 24, read<std::uint64_t>(section, at + 16));
      at += 24 + name.size();
      if (name.starts_with(prefix)) {
        source.push_back({std::string(name.substr(prefix.size())), section.substr(begin + offset, size)});
      }
    }
    found.push_back(source);
  }
  return found;
}

void check_source(const Source& source, const Targets& archs) {
  Targets targets, kernels;
  for (const CodeObject& object : source) {
    targets.insert(object.target);
    if (object.target.ends_with("+PTX")) {
      continue;
    }
    INFO(object.target);
    const Targets found = kernels_of(object.bytes);
    CHECK_FALSE(found.empty());
    if (kernels.empty()) {
      kernels = found;
    }
    CHECK(found == kernels);
  }
  // Metadata names machine code and PTX of one target in one word.
  for (const std::string& arch : archs) {
    if (arch.ends_with("+PTX")) {
      CHECK(targets.erase(arch.substr(0, arch.size() - 4)) == 1);
    }
  }
  CHECK(targets == archs);
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

TEST_CASE("every source of a CUDA library has all of its kernels for exactly the targets that metadata names") {
  const int libraries = for_each_library("cuda", [](const std::string& elf, const Targets& archs) {
    const std::vector<Source> sources = cuda_sources(section(elf, ".nv_fatbin"));
    CHECK_FALSE(sources.empty());
    for (const Source& source : sources) {
      check_source(source, archs);
    }
  });
  if (libraries == 0) {
    WARN("skipped: no CUDA library is built here");
  }
}

TEST_CASE("every source of a HIP library has all of its kernels for exactly the targets that metadata names") {
  const int libraries = for_each_library("rocm", [](const std::string& elf, const Targets& archs) {
    const std::vector<Source> sources = hip_sources(section(elf, ".hip_fatbin"));
    CHECK_FALSE(sources.empty());
    for (const Source& source : sources) {
      check_source(source, archs);
    }
  });
  if (libraries == 0) {
    WARN("skipped: no HIP library is built here");
  }
}
