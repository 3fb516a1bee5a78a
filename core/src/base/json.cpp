// SPDX-License-Identifier: Apache-2.0
// nlohmann's parser reports a byte offset and keeps the last of two equal fields. Its callback sees every event
// with its depth, which is where both limits are kept; it leaves the parser by an exception of our own that never
// passes this file.
#include "base/json.hpp"

#include "base/os.hpp"
#include "base/reason.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace layerhub {
namespace {

constexpr std::string_view rule = "json";

struct Refused {
  std::string fact;
};

// Refuses what nlohmann accepts: nesting beyond the limit and a field that stands twice in one object.
class Guard {
 public:
  explicit Guard(int deepest) : deepest_(deepest) {}

  void see(int depth, nlohmann::json::parse_event_t event, const nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= deepest_) throw Refused{fmt::format("nested deeper than {} levels", deepest_)};
      if (event == Event::object_start) fields_.emplace_back();
    } else if (event == Event::object_end) {
      fields_.pop_back();
    } else if (event == Event::key && !fields_.back().insert(value.get<std::string>()).second) {
      throw Refused{fmt::format("field `{}` stands twice in one object", printable(value.get<std::string>()))};
    }
  }

 private:
  int deepest_;
  std::vector<std::set<std::string>> fields_;  // of the objects that are open
};

// "line 3, column 14" of the byte before `offset`, counted from 1 as editors do.
std::string place(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset > 0 ? offset - 1 : 0, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::size_t start = before.rfind('\n') + 1;  // npos + 1 is 0: the first line
  return fmt::format("line {}, column {}", line, before.size() - start + 1);
}

// nlohmann writes "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ...: what".
// What we want of it is the part after the place.
std::string syntax_fact(const nlohmann::json::parse_error& error) {
  const std::string_view text = error.what();
  const std::size_t after_place = text.find(": ");
  return printable(after_place == std::string_view::npos ? text : text.substr(after_place + 2), 200);
}

Reason refuse(std::string_view name, std::string_view fact) {
  return make_reason(ErrorCode::bad_metadata, rule, fmt::format("{}: {}", name, fact), {{"file", std::string(name)}});
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view name, JsonLimits limits) {
  if (text.size() > limits.bytes) return refuse(name, fmt::format("larger than {} bytes", limits.bytes));
  Guard guard(limits.depth);
  try {
    return Json::parse(text.begin(), text.end(), [&](int depth, Json::parse_event_t event, Json& value) {
      guard.see(depth, event, value);
      return true;
    });
  } catch (const nlohmann::json::parse_error& error) {
    return refuse(name, fmt::format("not JSON at {}: {}", place(text, error.byte), syntax_fact(error)));
  } catch (const nlohmann::json::exception& error) {  // a number out of range
    return refuse(name, printable(error.what(), 200));
  } catch (const Refused& refused) {
    return refuse(name, refused.fact);
  }
}

Result<Json> read_json_file(const boost::filesystem::path& file, JsonLimits limits) {
  BOOST_OUTCOME_TRY(auto text, read_file(file, limits.bytes));
  return parse_json(text, file.string(), limits);
}

std::string write_json(const Json& value) { return value.dump(2, ' ', false, Json::error_handler_t::replace); }

}  // namespace layerhub
