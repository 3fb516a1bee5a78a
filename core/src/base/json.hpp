// SPDX-License-Identifier: Apache-2.0
// JSON in and out, with limits. What is read here (metadata.json, lock files) comes from strangers: the size is bounded
// before parsing, the depth while parsing, and an object that names one field twice is refused, since two readers would
// take different values of it. Errors name the file, the line and the column. nlohmann's full header is included
// only by the sources that look inside a value.
#pragma once

#include "base/result.hpp"

#include <boost/filesystem/path.hpp>
#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace layerhub {

using Json = nlohmann::json;

struct JsonLimits {
  std::size_t bytes = std::size_t{4} << 20;
  int depth = 32;
};

// `name` is the file as messages shall call it. Never throws for bad input; the refusal has the code bad_metadata.
Result<Json> parse_json(std::string_view text, std::string_view name, JsonLimits limits = {});

Result<Json> read_json_file(const boost::filesystem::path& file, JsonLimits limits = {});

// Indented by two spaces, fields sorted, so that the same value is the same text. Bytes that are not UTF-8 (a file's
// name may be anything) are replaced by U+FFFD.
std::string write_json(const Json& value);

}  // namespace layerhub
