// SPDX-License-Identifier: Apache-2.0
#include "base/toml.hpp"

#include "base/reason.hpp"

#include <fmt/format.h>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace layerhub {
namespace {

constexpr std::size_t max_bytes = std::size_t{1} << 20;
constexpr int max_depth = 32;

class Converter {
 public:
  explicit Converter(Toml& out) : out_(out) {}

  // false: too deep.
  bool convert(const toml::node& node, const std::string& path, int depth, Json& to) {
    if (depth > max_depth) {
      return false;
    }
    out_.lines.emplace(path, static_cast<int>(node.source().begin.line));
    if (const toml::table* table = node.as_table()) {
      return convert_table(*table, path, depth, to);
    }
    if (const toml::array* array = node.as_array()) {
      to = Json::array();
      for (std::size_t i = 0; i < array->size(); ++i) {
        if (!convert((*array)[i], fmt::format("{}[{}]", path, i), depth + 1, to.emplace_back())) {
          return false;
        }
      }
      return true;
    }
    to = value_of(node);
    return true;
  }

 private:
  bool convert_table(const toml::table& table, const std::string& path, int depth, Json& to) {
    to = Json::object();
    for (const auto& [key, value] : table) {
      const std::string name(key.str());
      const std::string below = path.empty() ? name : path + "." + name;
      if (!convert(value, below, depth + 1, to[name])) {
        return false;
      }
      out_.lines[below] = static_cast<int>(key.source().begin.line);
    }
    return true;
  }

  // Dates have no JSON; no file of ours has any, so a reader refuses what it gets here by its type.
  static Json value_of(const toml::node& node) {
    if (const auto* text = node.as_string()) {
      return text->get();
    }
    if (const auto* number = node.as_integer()) {
      return number->get() >= 0 ? Json(static_cast<std::uint64_t>(number->get())) : Json(number->get());
    }
    if (const auto* real = node.as_floating_point()) {
      return real->get();
    }
    if (const auto* flag = node.as_boolean()) {
      return flag->get();
    }
    return nullptr;
  }

  Toml& out_;
};

Reason bad(std::string_view name, const std::string& fact) {
  return make_reason(ErrorCode::bad_metadata, "toml", fmt::format("{}: {}", name, fact));
}

}  // namespace

std::string Toml::at(std::string_view name, const std::string& key) const {
  std::string holder = key;
  while (!holder.empty()) {
    if (const auto line = lines.find(holder); line != lines.end() && line->second > 0) {
      return fmt::format("{}:{}: {}", name, line->second, key);
    }
    const std::size_t cut = holder.find_last_of(".[");
    holder.resize(cut == std::string::npos ? 0 : cut);
  }
  return fmt::format("{}: {}", name, key);
}

Result<Toml> parse_toml(std::string_view text, std::string_view name) {
  if (text.size() > max_bytes) {
    return bad(name, fmt::format("it has {} bytes, at most {} are read", text.size(), max_bytes));
  }
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const toml::source_position at = parsed.error().source().begin;
    return make_reason(ErrorCode::bad_metadata, "toml",
                       fmt::format("{}:{}:{}: {}; correct the file", name, at.line, at.column,
                                   printable(parsed.error().description(), 300)));
  }
  Toml toml;
  if (!Converter(toml).convert(parsed.table(), "", 0, toml.value)) {
    return bad(name, fmt::format("it is nested deeper than {}", max_depth));
  }
  return toml;
}

}  // namespace layerhub
