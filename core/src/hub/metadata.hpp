// SPDX-License-Identifier: Apache-2.0
// metadata.json of a variant: the Hub's fields, and ours under `layerhub`, so that tables resolve without opening any
// library. Written at build time by the SDK from the libraries themselves (sdk/src/describe_plugin.cpp).
//
// Fields that are not known are ignored. Every other thing that is wrong refuses the whole file and names the field.
#pragma once

#include "hub/kernel_info.hpp"
#include "hub/system_facts.hpp"

#include "base/result.hpp"

#include <boost/filesystem/path.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::hub {

// One shared library of the variant: one capability level, so that no two instruction sets meet in a file.
struct LibraryInfo {
  std::string file;  // in the variant's folder
  std::uint32_t capability = 1;
  std::vector<std::string> features;  // that the processor must have, sorted
  std::string build_id, toolchain;
  std::string runtime;              // the device type that it brings a runtime for, "opencl"; empty: none
  std::vector<KernelInfo> kernels;  // may be empty where it brings a runtime
  bool operator==(const LibraryInfo&) const = default;
};

struct Digest {
  std::string algorithm;                     // "sha256" or "sha512"
  std::map<std::string, std::string> files;  // relative path -> base64
  bool operator==(const Digest&) const = default;
};

struct Metadata {
  std::string id, name, license;
  int version = 0;
  std::string backend;  // "cpu", "cuda", ...
  std::vector<std::string> archs;
  std::uint32_t abi_major = 0, abi_minor = 0;
  std::string repo, revision;  // "layerhub/norm", "v1"
  std::vector<LibraryInfo> libraries;
  std::optional<Digest> digest;
  std::string commit;  // of the provenance; empty: none is given
  bool dirty = false;
  bool operator==(const Metadata&) const = default;
};

// Reads <folder>/metadata.json. Refused: not_found without one (with the hint for a bare library), bad_metadata.
Result<Metadata> read_metadata(const boost::filesystem::path& variant_folder);

// `name` stands for the file in messages.
Result<Metadata> parse_metadata(std::string_view text, std::string_view name);

struct LibraryVerdict {
  const LibraryInfo* library = nullptr;
  std::string reason;  // why it can't run here; empty: it can
};

// Best first: the highest capability, then the most features; those that can't run here last, each with its reason.
std::vector<LibraryVerdict> judge_libraries(const Metadata& metadata, const SystemFacts& facts);

}  // namespace layerhub::hub
