// SPDX-License-Identifier: Apache-2.0
// The model's tokenizer: byte-level BPE in GPT-2's manner with the "smollm" rules of splitting.
//
// First every number character becomes a piece of its own, then GPT-2's expression cuts what lies between: contractions
// ('s 't 're 've 'm 'll 'd), letters or other characters with at most one space before, white space but for a last one
// that something follows; what no rule takes is a piece too. Within a piece the two neighbours that were learnt
// first are merged, again and again. Bytes for which the model has no token are dropped, as llama.cpp does.
#pragma once

#include "gguf.hpp"

#include <boost/unordered/unordered_flat_set.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace smollm2 {

using TokenId = std::int32_t;

// Where a text stands in a list: five bytes of memory for each, where a map from texts would have fifty. Of equal texts
// the first.
class TextIndex {
 public:
  explicit TextIndex(const GgufTexts& texts);  // which must outlive it

  std::optional<std::uint32_t> find(std::string_view text) const;

 private:
  struct Hash {
    using is_transparent = void;
    const GgufTexts* texts;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    std::size_t operator()(std::uint32_t index) const { return (*this)((*texts)[index]); }
  };
  struct Equal {
    using is_transparent = void;
    const GgufTexts* texts;
    std::string_view text(std::string_view text) const { return text; }
    std::string_view text(std::uint32_t index) const { return (*texts)[index]; }
    bool operator()(const auto& a, const auto& b) const { return text(a) == text(b); }
  };
  boost::unordered_flat_set<std::uint32_t, Hash, Equal> indices_;
};

class Tokenizer {
 public:
  explicit Tokenizer(const Gguf& model);  // throws GgufError; the file must outlive the tokenizer

  // parse_special: whether text such as <|im_start|> means the control token or just its characters.
  std::vector<TokenId> encode(std::string_view text, bool parse_special) const;
  // The bytes of a token; a control token's name. A character may be spread over several tokens.
  std::string bytes_of(TokenId id) const;

  TokenId end() const { return end_; }
  bool ends(TokenId id) const { return id == end_ || id == end_of_text_; }
  std::size_t size() const { return tokens_.size(); }

 private:
  void encode_plain(std::string_view text, std::vector<TokenId>& ids) const;
  void encode_piece(std::string_view piece, std::vector<TokenId>& ids) const;

  const GgufTexts& tokens_;  // in the byte alphabet
  std::vector<bool> is_control_;
  std::vector<std::pair<std::string_view, TokenId>> specials_;  // longest first
  TextIndex ids_;
  TextIndex ranks_;  // of "left right": when it was learnt
  TokenId end_ = 0, end_of_text_ = 0;
};

}  // namespace smollm2
