// SPDX-License-Identifier: Apache-2.0
// The model's tokenizer: byte-level BPE in GPT-2's manner with the "smollm" rules of splitting.
//
// First every number character becomes a piece of its own, then GPT-2's expression cuts what lies between: contractions
// ('s 't 're 've 'm 'll 'd), letters or other characters with at most one space before, white space but for a last one
// that something follows; what no rule takes is a piece too. Within a piece the two neighbours that were learnt
// first are merged, again and again. Bytes for which the model has no token are dropped, as llama.cpp does.
#pragma once

#include "gguf.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace smollm2 {

using TokenId = std::int32_t;

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
  std::unordered_map<std::string_view, TokenId> id_of_;
  std::unordered_map<std::string_view, std::uint32_t> rank_of_;  // "left right" -> when it was learnt
  TokenId end_ = 0, end_of_text_ = 0;
};

}  // namespace smollm2
