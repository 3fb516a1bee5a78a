// SPDX-License-Identifier: Apache-2.0
// From a prompt to an answer: the chat template, prefill, one token after the other, and text that never ends inside a
// character.
#pragma once

#include "memory.hpp"
#include "model.hpp"

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace smollm2 {

// ChatML with the system line that the model was trained with.
std::string chat_prompt(std::string_view question);

// Picks the next token: the likeliest (the smallest id of equals), or a random one at a temperature.
class Sampler {
 public:
  Sampler(double temperature, std::uint64_t seed) : temperature_(temperature), random_(seed) {}
  TokenId pick(const float* logits, std::int64_t count);

 private:
  double temperature_;
  std::mt19937_64 random_;
};

TokenId likeliest(const float* logits, std::int64_t count);

// Holds back the bytes of a character until it is whole. What never becomes one is shown as U+FFFD.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);  // what can be shown now
  std::string finish();

 private:
  std::string pending_;
};

struct Run {
  std::vector<TokenId> token_ids;
  std::string text;
  double prefill_seconds = 0, decode_seconds = 0;
  std::size_t decoded = 0;  // tokens that decode_seconds holds: all but the first, which the prefill gives
  LayerTimes times{};
  Copies copies;  // between devices
  MemoryUse memory;
};

// Writes at most `tokens` tokens after the prompt; `show` gets the text piece by piece.
Run generate(const Model& model, const Tokenizer& tokenizer, const std::vector<TokenId>& prompt, int tokens,
             Dtype cache, Sampler sampler, const std::function<void(const std::string&)>& show);

// The whole prompt in chunks of 512 tokens; logits of the last token.
void prefill(const Model& model, const std::vector<TokenId>& prompt, Sequence& sequence, std::vector<float>& logits);

// The likeliest token at each place when the model is fed `ids` after the prompt.
std::vector<TokenId> teacher_forced(const Model& model, const std::vector<TokenId>& prompt,
                                    const std::vector<TokenId>& ids, Dtype cache);

}  // namespace smollm2
