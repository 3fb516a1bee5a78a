// SPDX-License-Identifier: Apache-2.0
// The sample on the real model, held to the reference's greedy continuations (tests/data/smollm2-greedy.json, whose
// "about" says how they were made). The own forwards are scalar on purpose: they do two short prompts here, and with
// --heavy what the plugins do.
#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using Json = nlohmann::json;

namespace {

const std::string reference_file = LAYERHUB_SOURCE_DIR "/tests/data/smollm2-greedy.json";

Json read(const std::string& path) { return Json::parse(std::ifstream(path)); }

bool model_is_there() {
  const char *given = std::getenv("LAYERHUB_MODEL"), *cache = std::getenv("XDG_CACHE_HOME"),
             *home = std::getenv("HOME");
  const std::string folder = cache != nullptr ? cache : std::string(home == nullptr ? "." : home) + "/.cache";
  return std::filesystem::exists(given != nullptr ? std::string(given)
                                                  : folder + "/layerhub/models/SmolLM2-135M-Instruct.Q4_1.gguf");
}

// Runs the sample with these words and gives what it printed.
Json run_sample(const std::string& words) {
  const layerhub::testing::TemporaryFolder folder;
  const std::string out = folder.file("printed.json"), log = folder.file("log");
  const std::string command = std::string("'") + LAYERHUB_BUILD_DIR + "/bin/smollm2' --plugins '" +
                              LAYERHUB_PLUGIN_ROOT + "' --threads 2 " + words + " >'" + out + "' 2>'" + log + "'";
  const int status = std::system(command.c_str());
  std::ifstream written(log);
  const std::string said{std::istreambuf_iterator<char>(written), {}};
  INFO(command << "; " << said);
  REQUIRE(status == 0);
  return read(out);
}

// The same tokens, unless the reference itself hesitated: after a step whose margin is below 0.001 anything may follow.
void check_continuation(const Json& prompt, const std::vector<int>& ids) {
  const auto expected = prompt["f32"]["ids"].get<std::vector<int>>();
  const auto margins = prompt["f32"]["margin"].get<std::vector<double>>();
  REQUIRE_FALSE(ids.empty());
  for (std::size_t i = 0; i < ids.size() && i < expected.size(); ++i) {
    INFO(prompt["id"] << ", token " << i);
    REQUIRE(ids[i] == expected[i]);
    if (margins[i] < 0.001) return;
  }
}

}  // namespace

TEST_CASE("with plugins the likeliest tokens and the likelihood are the reference's, as far as 8-bit activations go") {
  if (!model_is_there()) LAYERHUB_SKIP("the model is not there; samples/run fetches it");
  const Json compared = run_sample("--hub --evaluate '" + reference_file + "'");
  INFO(compared.dump(2));
  CHECK_FALSE(compared.contains("own"));
  CHECK(compared["hub"]["top1_agreement"] >= 0.95);
  CHECK(compared["hub"]["largest_margin_of_disagreement"] <= 0.5);
  CHECK(std::abs(compared["hub"]["mean_nll"].get<double>() - compared["reference_mean_nll"].get<double>()) <= 0.01);
}

TEST_CASE("on the own forwards the sample writes exactly the reference's float32 text") {
  if (!model_is_there()) LAYERHUB_SKIP("the model is not there; samples/run fetches it");
  const Json reference = read(reference_file);
  const layerhub::testing::TemporaryFolder folder;
  const std::string file = folder.file("run.json");
  for (const Json& prompt : reference["prompts"]) {
    if (prompt["id"] != "raw-story" && prompt["id"] != "raw-digits") continue;
    const std::string command = std::string("'") + LAYERHUB_BUILD_DIR +
                                "/bin/smollm2' --own --raw --tokens 12 --json '" + file + "' --prompt '" +
                                prompt["text"].get<std::string>() + "' >/dev/null 2>&1";
    INFO(command);
    REQUIRE(std::system(command.c_str()) == 0);
    check_continuation(prompt, read(file)["own"]["token_ids"].get<std::vector<int>>());
  }
  if (std::getenv("LAYERHUB_HEAVY") != nullptr) {
    const Json compared = run_sample("--own --evaluate '" + reference_file + "'");
    INFO(compared.dump(2));
    CHECK(compared["own"]["largest_margin_of_disagreement"] < 0.001);
    CHECK(std::abs(compared["own"]["mean_nll"].get<double>() - compared["reference_mean_nll"].get<double>()) <= 0.0001);
  }
}
