// SPDX-License-Identifier: Apache-2.0
#include "generate.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

namespace smollm2 {
namespace {

constexpr std::size_t chunk = 512;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The length of the character that this byte leads, 0 for one that leads none.
std::size_t character_length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead >= 0xf5 ? 0 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
}

}  // namespace

std::string chat_prompt(std::string_view question) {
  return "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
         "Face<|im_end|>\n<|im_start|>user\n" +
         std::string(question) + "<|im_end|>\n<|im_start|>assistant\n";
}

// The largest of each block first, in lanes that the compiler makes a vector of: a plain search waits for each
// comparison before it begins the next.
TokenId likeliest(const float* logits, std::int64_t count) {
  constexpr std::int64_t lanes = 16, block = 1024;
  const float* best = logits;
  for (std::int64_t begin = 0; begin < count; begin += block) {
    const float *from = logits + begin, *end = logits + std::min(begin + block, count);
    std::array<float, lanes> largest;
    largest.fill(*best);
    for (const float* at = from; end - at >= lanes; at += lanes) {
      for (std::int64_t i = 0; i < lanes; ++i) {
        largest[static_cast<std::size_t>(i)] = largest[static_cast<std::size_t>(i)] < at[i]
                                                   ? at[i]
                                                   : largest[static_cast<std::size_t>(i)];
      }
    }
    const float* tail = end - (end - from) % lanes;
    const bool is_better = *std::max_element(largest.begin(), largest.end()) > *best ||
                           std::any_of(tail, end, [&](float x) { return x > *best; });
    if (is_better) {
      best = std::max_element(from, end);
    }
  }
  return static_cast<TokenId>(best - logits);
}

TokenId Sampler::pick(const float* logits, std::int64_t count) {
  const TokenId best = likeliest(logits, count);
  if (temperature_ <= 0) {
    return best;
  }
  std::vector<double> weights(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    weights[static_cast<std::size_t>(i)] = std::exp((logits[i] - logits[best]) / temperature_);
  }
  return static_cast<TokenId>(std::discrete_distribution<std::int64_t>(weights.begin(), weights.end())(random_));
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string whole;
  std::size_t i = 0;
  while (i < pending_.size()) {
    const std::size_t length = character_length(static_cast<unsigned char>(pending_[i]));
    std::size_t n = 1;
    while (n < length && i + n < pending_.size() && (static_cast<unsigned char>(pending_[i + n]) & 0xc0) == 0x80) {
      ++n;
    }
    if (n < length && i + n == pending_.size()) {
      break;  // the rest may come
    }
    whole += length != 0 && n == length ? pending_.substr(i, n) : "\xef\xbf\xbd";
    i += n;
  }
  pending_.erase(0, i);
  return whole;
}

std::string Utf8Stream::finish() {
  const bool cut = !pending_.empty();
  pending_.clear();
  return cut ? "\xef\xbf\xbd" : "";
}

void prefill(const Model& model, const std::vector<TokenId>& prompt, Sequence& sequence, std::vector<float>& logits) {
  for (std::size_t i = 0; i < prompt.size(); i += chunk) {
    model.forward(std::span(prompt).subspan(i, std::min(chunk, prompt.size() - i)), sequence, false, logits);
  }
}

Run generate(const Model& model, const Tokenizer& tokenizer, const std::vector<TokenId>& prompt, int tokens,
             Dtype cache, Sampler sampler, const std::function<void(const std::string&)>& show) {
  Run run;
  Sequence sequence(model.config(), model.placement(), static_cast<std::int64_t>(prompt.size()) + tokens, cache);
  std::vector<float> logits;
  const auto begin = std::chrono::steady_clock::now();
  prefill(model, prompt, sequence, logits);
  run.prefill_seconds = seconds_since(begin);

  Utf8Stream stream;
  const auto first = std::chrono::steady_clock::now();
  for (;;) {
    const TokenId id = sampler.pick(logits.data(), model.config().vocabulary);
    run.token_ids.push_back(id);
    if (tokenizer.ends(id)) {
      break;
    }
    const std::string text = stream.push(tokenizer.bytes_of(id));
    run.text += text;
    show(text);
    if (run.token_ids.size() == static_cast<std::size_t>(tokens)) {
      break;
    }
    model.forward({&run.token_ids.back(), 1}, sequence, false, logits);
    ++run.decoded;
  }
  run.decode_seconds = seconds_since(first);
  const std::string rest = stream.finish();
  run.text += rest;
  show(rest);
  run.times = sequence.times;
  run.copies = sequence.copies;
  run.memory = {peak_resident_bytes(), sequence.cache_bytes(), sequence.pass_bytes()};
  return run;
}

std::vector<TokenId> teacher_forced(const Model& model, const std::vector<TokenId>& prompt,
                                    const std::vector<TokenId>& ids, Dtype cache) {
  std::vector<TokenId> top;
  Sequence sequence(model.config(), model.placement(), static_cast<std::int64_t>(prompt.size() + ids.size()), cache);
  std::vector<float> logits;
  prefill(model, prompt, sequence, logits);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    top.push_back(likeliest(logits.data(), model.config().vocabulary));
    if (i + 1 < ids.size()) {
      model.forward({&ids[i], 1}, sequence, false, logits);
    }
  }
  return top;
}

}  // namespace smollm2
