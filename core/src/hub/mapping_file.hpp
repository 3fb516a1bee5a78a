// SPDX-License-Identifier: Apache-2.0
// A mapping as a TOML file, and the lock that pins one: the same file with a pin in each entry.
//
//   [[layer]]
//   name = "RMSNorm"                    # as hosts mark it
//   device = "cpu"
//   repository = "layerhub/norm"        # with one of revision, version and lock-file; or `path` in place of all four
//   revision = "v1"
//   # layer = "RMSNorm"                 # its name in the repository; the same where it is left out
//   # mode = "inference|capture"        # every mode that has none of its own, where it is left out
//   # min-capability = 80               # inclusive
//   # max-capability = 90
//   # automatic = true                  # made by automatic_mapping: falls back where it can't serve
//   [layer.pin]                         # written by `layerhub lock`
//   variant = "layerhub1-cpu-x86_64-linux"
//   library = "norm-v4.so"
//   digest = "sha256-..."               # of the library
//   kernels = ["vector"]                # that may serve, in the order in which they are tried
#pragma once

#include "base/result.hpp"

#include <layerhub/mapping.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::hub {

// What a lock holds an entry to.
struct Pin {
  std::string variant, library, digest;
  std::vector<std::string> kernels;
};

struct MappingRow {
  std::string layer, device;
  CapabilityInterval interval{};
  Mode mode = Mode::fallback;
  Repository repository;
  bool automatic = false;
  std::optional<Pin> pin{};
  std::string place{};  // "mapping.toml:12: layer[1]", of one that was read
};

// Refused as bad_metadata, naming file, line and key: what is no TOML, an unknown key, a value of the wrong type, both
// or neither of what excludes each other. That devices are known and intervals in order is for whoever makes a Mapping.
Result<std::vector<MappingRow>> parse_mapping_file(std::string_view text, std::string_view name);

// In the order of the rows.
std::string write_mapping_file(const std::vector<MappingRow>& rows);

}  // namespace layerhub::hub
