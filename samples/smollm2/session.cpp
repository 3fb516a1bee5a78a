// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include "generate.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <istream>
#include <iterator>
#include <optional>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>

namespace smollm2 {
namespace {

template <class Body>
std::int64_t nanoseconds_of(Body&& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begin).count();
}

class Session {
 public:
  Session(const Model& model, const Tokenizer& tokenizer) : model_(model), tokenizer_(tokenizer) {}

  std::string answer(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "tokens") {
      stream_ = ids(words);
      filled_ = 0;
      return std::to_string(stream_.size());
    }
    if (command == "prefill") {
      return std::to_string(prefill(number(words)));
    }
    if (command == "decode") {
      const std::int64_t depth = number(words);
      return std::to_string(decode(depth, number(words)));
    }
    if (command == "first") {
      return first(std::string(std::istreambuf_iterator<char>(words), {}));
    }
    if (command == "top") {
      return top(ids(words));
    }
    if (command == "top-by-one") {
      const std::int64_t first = number(words);
      return top_by_one(first, ids(words));
    }
    if (command == "memory") {
      const std::uint64_t sequence = sequence_ ? sequence_->cache_bytes() + sequence_->pass_bytes() : 0;
      return std::to_string(peak_resident_bytes()) + " " + std::to_string(sequence);
    }
    throw std::runtime_error("`" + command + "` is no command; session.hpp lists them");
  }

 private:
  static std::int64_t number(std::istream& words) {
    std::int64_t value = 0;
    if (!(words >> value) || value < 0) {
      throw std::runtime_error("a count is missing; session.hpp lists the commands");
    }
    return value;
  }
  static std::vector<TokenId> ids(std::istream& words) {
    return {std::istream_iterator<TokenId>(words), std::istream_iterator<TokenId>()};
  }

  // The cache holds the stream's tokens from its first on: [0, filled_) of it are right whatever was asked last.
  Sequence& sequence(std::int64_t capacity) {
    if (!sequence_ || sequence_->capacity < capacity) {
      sequence_.emplace(model_.config(), model_.placement(), capacity, Dtype::f16);
      filled_ = 0;
    }
    return *sequence_;
  }

  std::vector<TokenId> stream(std::int64_t from, std::int64_t count) const {
    if (stream_.empty()) {
      throw std::runtime_error("there are no tokens to feed; give `tokens ID...` first");
    }
    std::vector<TokenId> fed;
    for (std::int64_t i = from; i < from + count; ++i) {
      fed.push_back(stream_[static_cast<std::size_t>(i) % stream_.size()]);
    }
    return fed;
  }

  std::int64_t prefill(std::int64_t count) {
    const std::vector<TokenId> fed = stream(0, count);
    Sequence& s = sequence(count);
    s.length = 0;
    const std::int64_t took = nanoseconds_of([&] { smollm2::prefill(model_, fed, s, logits_); });
    filled_ = std::max(filled_, count);
    return took;
  }

  std::int64_t decode(std::int64_t depth, std::int64_t count) {
    Sequence& s = sequence(depth + count);
    if (filled_ < depth) {
      s.length = filled_;
      smollm2::prefill(model_, stream(filled_, depth - filled_), s, logits_);
      filled_ = depth;
    }
    const std::vector<TokenId> fed = stream(depth, count);
    s.length = depth;
    model_.forward(std::span(fed).first(1), s, false, logits_);  // wakes the threads
    s.length = depth;
    const std::int64_t took = nanoseconds_of([&] {
      for (const TokenId& id : fed) {
        model_.forward({&id, 1}, s, false, logits_);
      }
    });
    filled_ = std::max(filled_, depth + count);
    return took;
  }

  std::string first(const std::string& text) {
    const std::vector<TokenId> prompt = tokenizer_.encode(nlohmann::json::parse(text).get<std::string>(), false);
    Sequence& s = sequence(static_cast<std::int64_t>(prompt.size()) + 1);
    filled_ = s.length = 0;
    smollm2::prefill(model_, prompt, s, logits_);
    const TokenId id = likeliest(logits_.data(), model_.config().vocabulary);
    return nlohmann::json(std::string(tokenizer_.bytes_of(id)))
        .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  }

  std::string top(const std::vector<TokenId>& fed) {
    Sequence& s = sequence(static_cast<std::int64_t>(fed.size()));
    filled_ = s.length = 0;
    constexpr std::size_t at_once = 64;  // whose logits are held
    std::string answer;
    for (std::size_t i = 0; i < fed.size(); i += at_once) {
      const std::size_t count = std::min(at_once, fed.size() - i);
      model_.forward(std::span(fed).subspan(i, count), s, true, logits_);
      for (std::size_t k = 0; k < count; ++k) {
        answer += std::to_string(likeliest(logits_.data() + k * static_cast<std::size_t>(model_.config().vocabulary),
                                           model_.config().vocabulary)) +
                  " ";
      }
    }
    return answer;
  }

  std::string top_by_one(std::int64_t first, const std::vector<TokenId>& fed) {
    const auto count = static_cast<std::int64_t>(fed.size());
    if (first > count) {
      throw std::runtime_error("N is beyond the tokens; session.hpp lists the commands");
    }
    Sequence& s = sequence(count);
    filled_ = s.length = 0;
    const std::span<const TokenId> all(fed);
    if (first > 0) {
      smollm2::prefill(model_, {fed.begin(), fed.begin() + first}, s, logits_);
    }
    std::string answer;
    for (std::int64_t i = first; i < count; ++i) {
      model_.forward(all.subspan(static_cast<std::size_t>(i), 1), s, false, logits_);
      answer += std::to_string(likeliest(logits_.data(), model_.config().vocabulary)) + " ";
    }
    return answer;
  }

  const Model& model_;
  const Tokenizer& tokenizer_;
  std::vector<TokenId> stream_;
  std::optional<Sequence> sequence_;
  std::int64_t filled_ = 0;
  std::vector<float> logits_;
};

}  // namespace

void serve_session(const Model& model, const Tokenizer& tokenizer, std::istream& in, std::ostream& out) {
  Session session(model, tokenizer);
  for (std::string line; std::getline(in, line);) {
    std::string answer;
    try {
      answer = session.answer(line);
    } catch (const std::exception& error) {
      answer = std::string("error ") + error.what();
    }
    out << answer << std::endl;
  }
}

}  // namespace smollm2
