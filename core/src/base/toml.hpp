// SPDX-License-Identifier: Apache-2.0
// TOML in, as the same value that JSON gives, with the line of each key for messages. toml++ stays in one source.
#pragma once

#include "base/json.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <string_view>

namespace layerhub {

struct Toml {
  Json value;                        // an object
  std::map<std::string, int> lines;  // "layer[1].version" -> 12

  // "mapping.toml:12: layer[1].version", for messages. A key without a line of its own has the one of what holds it.
  std::string at(std::string_view name, const std::string& key) const;
};

// At most a megabyte, at most 32 deep. Refused: bad_metadata with file, line and column. `name` is the file as messages
// shall call it.
Result<Toml> parse_toml(std::string_view text, std::string_view name);

}  // namespace layerhub
