// SPDX-License-Identifier: Apache-2.0
#include "tokenizer.hpp"

#include "unicode_classes.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_map>

namespace smollm2 {
namespace {

constexpr double control_type = 3;

std::string utf8(char32_t c) {
  std::string out;
  if (c < 0x80) {
    out = {static_cast<char>(c)};
  } else {
    out = {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
  }
  return out;
}

// GPT-2's alphabet: printable bytes stand for themselves, the others for characters from U+0100 on.
std::array<std::string, 256> make_alphabet() {
  std::array<std::string, 256> alphabet;
  char32_t next = 256;
  for (char32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
    alphabet[b] = utf8(printable ? b : next++);
  }
  return alphabet;
}
const std::array<std::string, 256> alphabet = make_alphabet();

struct Character {
  char32_t code;
  std::size_t begin, end;  // bytes
};

// Bytes that are not UTF-8 are characters of no class, one each.
std::vector<Character> characters_of(std::string_view text) {
  std::vector<Character> characters;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
    bool whole = length != 0 && lead < 0xf5 && i + length <= text.size();
    char32_t code = length <= 1 ? lead : lead & (0xffu >> (length + 1));
    for (std::size_t k = 1; whole && k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      whole = (next & 0xc0) == 0x80;
      code = code << 6 | (next & 0x3fu);
    }
    characters.push_back({whole ? code : 0xfffd, i, i + (whole ? length : 1)});
    i = characters.back().end;
  }
  return characters;
}

using Characters = const std::vector<Character>&;

// How many characters a contraction at `i` has, or 0.
std::size_t contraction(Characters c, std::size_t i, std::size_t end) {
  const auto at = [&](std::size_t k) { return i + k < end ? c[i + k].code : char32_t{0}; };
  if (at(0) != '\'') {
    return 0;
  }
  if (at(1) == 's' || at(1) == 't' || at(1) == 'm' || at(1) == 'd') {
    return 2;
  }
  return (at(1) == 'r' && at(2) == 'e') || (at(1) == 'v' && at(2) == 'e') || (at(1) == 'l' && at(2) == 'l') ? 3 : 0;
}

// The end of the piece that begins at `i`, within [i, end) that holds no number character.
std::size_t piece_end(Characters c, std::size_t i, std::size_t end) {
  if (const std::size_t n = contraction(c, i, end)) {
    return i + n;
  }
  const std::size_t first = c[i].code == ' ' && i + 1 < end ? i + 1 : i;
  const auto run = [&](auto&& belongs) {
    std::size_t j = first;
    while (j < end && belongs(c[j].code)) {
      ++j;
    }
    return j;
  };
  if (is_letter(c[first].code)) {
    return run(is_letter);
  }
  if (!is_space(c[first].code)) {
    return run([](char32_t x) { return !is_space(x) && !is_letter(x); });
  }
  std::size_t j = i;
  while (j < end && is_space(c[j].code)) {
    ++j;
  }
  return j == end || j == i + 1 ? j : j - 1;
}

}  // namespace

TextIndex::TextIndex(const GgufTexts& texts) : indices_(texts.size(), Hash{&texts}, Equal{&texts}) {
  for (std::uint32_t i = 0; i < texts.size(); ++i) {
    indices_.insert(i);
  }
}

std::optional<std::uint32_t> TextIndex::find(std::string_view text) const {
  const auto found = indices_.find(text);
  return found == indices_.end() ? std::nullopt : std::optional(*found);
}

Tokenizer::Tokenizer(const Gguf& model)
    : tokens_(model.texts("tokenizer.ggml.tokens")), ids_(tokens_), ranks_(model.texts("tokenizer.ggml.merges")) {
  const std::vector<double>& types = model.numbers("tokenizer.ggml.token_type");
  if (types.size() != tokens_.size() || tokens_.empty()) {
    throw GgufError(model.path() + ": its tokens and their types differ in number; it is damaged, fetch it again");
  }
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    is_control_.push_back(types[i] == control_type);
    if (is_control_.back()) {
      specials_.emplace_back(tokens_[i], static_cast<TokenId>(i));
    }
  }
  std::stable_sort(specials_.begin(), specials_.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  end_ = static_cast<TokenId>(model.integer("tokenizer.ggml.eos_token_id"));
  const std::optional<std::uint32_t> end_of_text = ids_.find("<|endoftext|>");
  end_of_text_ = end_of_text ? static_cast<TokenId>(*end_of_text) : end_;
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool parse_special) const {
  std::vector<TokenId> ids;
  while (!text.empty()) {
    std::size_t at = std::string_view::npos;
    const std::pair<std::string_view, TokenId>* special = nullptr;
    for (const auto& candidate : specials_) {
      const std::size_t found = parse_special ? text.find(candidate.first) : std::string_view::npos;
      if (found < at) {  // the first, and of those at one place the longest
        at = found;
        special = &candidate;
      }
    }
    encode_plain(text.substr(0, at), ids);
    if (special == nullptr) {
      break;
    }
    ids.push_back(special->second);
    text.remove_prefix(at + special->first.size());
  }
  return ids;
}

void Tokenizer::encode_plain(std::string_view text, std::vector<TokenId>& ids) const {
  const std::vector<Character> c = characters_of(text);
  for (std::size_t begin = 0; begin < c.size();) {
    if (is_number(c[begin].code)) {
      encode_piece(text.substr(c[begin].begin, c[begin].end - c[begin].begin), ids);
      ++begin;
      continue;
    }
    std::size_t end = begin;
    while (end < c.size() && !is_number(c[end].code)) {
      ++end;
    }
    while (begin < end) {
      const std::size_t next = piece_end(c, begin, end);
      encode_piece(text.substr(c[begin].begin, c[next - 1].end - c[begin].begin), ids);
      begin = next;
    }
  }
}

void Tokenizer::encode_piece(std::string_view piece, std::vector<TokenId>& ids) const {
  std::vector<std::string> parts;
  for (const char byte : piece) {
    parts.push_back(alphabet[static_cast<unsigned char>(byte)]);
  }
  while (parts.size() > 1) {
    std::uint32_t best = std::numeric_limits<std::uint32_t>::max();
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const std::optional<std::uint32_t> rank = ranks_.find(parts[i] + " " + parts[i + 1]);
      if (rank && *rank < best) {
        best = *rank;
        at = i;
      }
    }
    if (best == std::numeric_limits<std::uint32_t>::max()) {
      break;
    }
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  for (const std::string& part : parts) {
    if (const std::optional<std::uint32_t> id = ids_.find(part)) {
      ids.push_back(static_cast<TokenId>(*id));
    }
  }
}

std::string Tokenizer::bytes_of(TokenId id) const {
  const auto index = static_cast<std::size_t>(id);
  if (is_control_.at(index)) {
    return std::string(tokens_[index]);
  }
  static const std::unordered_map<std::string, char> byte_of = [] {
    std::unordered_map<std::string, char> map;
    for (std::size_t b = 0; b < 256; ++b) {
      map.emplace(alphabet[b], static_cast<char>(b));
    }
    return map;
  }();
  std::string bytes;
  const std::string_view token = tokens_[index];
  for (const Character& c : characters_of(token)) {
    if (const auto found = byte_of.find(std::string(token.substr(c.begin, c.end - c.begin))); found != byte_of.end()) {
      bytes += found->second;
    }
  }
  return bytes;
}

}  // namespace smollm2
