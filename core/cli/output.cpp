// SPDX-License-Identifier: Apache-2.0
#include "base/json.hpp"
#include "base/reason.hpp"
#include "commands.hpp"
#include "device/device_table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace layerhub::cli {

hub::Resolver resolver(const Options& options) {
  return {hub::plugin_roots(options.plugins), device::facts_for_listing()};
}

std::set<std::string> runtime_types(const hub::Metadata& metadata) {
  std::set<std::string> types;
  for (const hub::LibraryInfo& library : metadata.libraries) {
    if (!library.runtime.empty()) {
      types.insert(library.runtime);
    }
  }
  return types;
}

std::string runtime_text(const std::set<std::string>& types) {
  return types.empty() ? "" : fmt::format("runtime for {} devices", fmt::join(types, ", "));
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i + 1 == row.size() ? row[i] : fmt::format("{:<{}}  ", row[i], widths[i]);
    }
    fmt::print("{}\n", line);
  }
}

int print_error(const Reason& reason, bool json) {
  if (json) {
    fmt::print("{}\n", write_json(to_json(reason)));
  }
  fmt::print(stderr, "layerhub: {}\n", to_text(reason));
  return 1;
}

}  // namespace layerhub::cli
