// SPDX-License-Identifier: Apache-2.0
#include "tokenizer.hpp"

#include "evaluate.hpp"
#include "generate.hpp"
#include "support/catch.hpp"

#include <cstdlib>
#include <filesystem>

using namespace smollm2;

TEST_CASE("the tokenizer gives the reference's tokens for every case, with and without control tokens") {
  const char* home = std::getenv("HOME");
  const std::string model =
      std::string(home == nullptr ? "." : home) + "/.cache/layerhub/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(model)) {
    LAYERHUB_SKIP("the model is not there; samples/run fetches it");
  }
  const Gguf file(model);
  bool all_equal = false;
  const std::string report = tokenize_cases(
      Tokenizer(file), std::string(LAYERHUB_SOURCE_DIR) + "/tests/data/smollm2-tokenizer.json", all_equal);
  INFO(report);
  CHECK(all_equal);
}

TEST_CASE("streamed text never ends inside a character") {
  Utf8Stream stream;
  CHECK(stream.push("a\xe2") == "a");
  CHECK(stream.push("\x82").empty());
  CHECK(stream.push("\xac!") == "\xe2\x82\xac!");
  CHECK(stream.push("\xff") == "\xef\xbf\xbd");
  CHECK(stream.push("\xf0\x9f").empty());
  CHECK(stream.finish() == "\xef\xbf\xbd");
}

TEST_CASE("greedy sampling takes the smallest of equally likely tokens") {
  const float logits[] = {1, 3, 3, 2};
  CHECK(likeliest(logits, 4) == 1);
  CHECK(Sampler(0, 1).pick(logits, 4) == 1);
}
