// SPDX-License-Identifier: Apache-2.0
// Reads just enough of a shared library's bytes to know that the system's loader may touch it.
//
// dlopen trusts the file: of a truncated one it maps pages past the end, and the process dies of SIGBUS. So the
// bounds of every segment and of the dynamic table are compared with the size first, and the names that it exports
// are read here, each offset checked before it is followed. Format: the System V ABI, "Object Files" and "Dynamic
// Linking"; GNU hash tables as glibc writes them. 64-bit little-endian only, as the processors that layerhub runs on.
#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace layerhub::admission {

struct ElfSymbol {
  std::string_view name;  // points into the bytes
  bool unique = false;    // STB_GNU_UNIQUE: one object for the whole process, whichever library came first
};

// Of a checked image. Everything points into the bytes that were given, which must outlive it.
struct ElfImage {
  std::vector<ElfSymbol> exports;        // defined symbols of the dynamic table
  std::vector<std::string_view> needed;  // DT_NEEDED: the libraries that it asks for
};

// `name` stands for the file in messages. Refused, as bad_library: what is not a shared library of this processor,
// is cut off, or whose tables point outside the file.
Result<ElfImage> read_elf_image(std::span<const std::byte> bytes, std::string_view name);

}  // namespace layerhub::admission
