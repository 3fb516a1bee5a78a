// SPDX-License-Identifier: Apache-2.0
// The names of the error codes are written once, in the switch below; without a default the compiler reports a code
// that has none.
#include "base/reason.hpp"

#include <nlohmann/json.hpp>

#include <utility>

namespace layerhub {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::no_mapping: return "no_mapping";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::no_variant: return "no_variant";
    case ErrorCode::bad_metadata: return "bad_metadata";
    case ErrorCode::bad_library: return "bad_library";
    case ErrorCode::abi_mismatch: return "abi_mismatch";
    case ErrorCode::signature_mismatch: return "signature_mismatch";
    case ErrorCode::unsupported: return "unsupported";
    case ErrorCode::ambiguous: return "ambiguous";
    case ErrorCode::kernel_failed: return "kernel_failed";
    case ErrorCode::io_error: return "io_error";
    case ErrorCode::out_of_memory: return "out_of_memory";
    case ErrorCode::device_lost: return "device_lost";
  }
  return "unknown";  // a number cast to the enumeration
}

Reason make_reason(ErrorCode code, std::string_view rule, std::string text, std::vector<Fact> facts) {
  return Reason{code, std::string(rule), std::move(text), std::move(facts)};
}

std::string to_text(const Reason& reason) {
  std::string text = reason.text;
  for (const Fact& fact : reason.facts) {
    text += "\n  ";
    if (!fact.name.empty()) text += fact.name + ": ";
    text += fact.value;
  }
  return text;
}

Json to_json(const Reason& reason) {
  Json facts = Json::array();
  for (const Fact& fact : reason.facts) facts.push_back({{"name", fact.name}, {"value", fact.value}});
  return {{"code", to_string(reason.code)}, {"rule", reason.rule}, {"text", reason.text}, {"facts", std::move(facts)}};
}

std::string printable(std::string_view text, std::size_t longest) {
  const bool cut = text.size() > longest;
  std::string out(text.substr(0, longest));
  // Not through the middle of a UTF-8 character: continuation bytes are 10xxxxxx, and the byte before them leads.
  if (cut) {
    while (!out.empty() && (static_cast<unsigned char>(text[out.size()]) & 0xC0) == 0x80) out.pop_back();
  }
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return cut ? out + "..." : out;
}

}  // namespace layerhub
