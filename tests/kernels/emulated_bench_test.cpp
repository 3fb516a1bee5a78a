// SPDX-License-Identifier: Apache-2.0
// The bench for cards (bench/cuda), which has to work the first time that somebody has a card: here on the emulated
// one.
#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <nlohmann/json.hpp>

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace {

using Json = nlohmann::json;
using Catch::Matchers::Contains;

struct BenchRun {
  int status = 0;
  std::string said;  // both streams
  std::vector<Json> rows;

  // Those whose name begins so.
  std::vector<Json> rows_of(const std::string& name) const {
    std::vector<Json> found;
    for (const Json& row : rows) {
      if (row.at("name").get<std::string>().starts_with(name)) {
        found.push_back(row);
      }
    }
    return found;
  }
};

BenchRun run_bench(const std::string& options = {}, const std::string& environment = {}) {
  const layerhub::testing::TemporaryFolder folder;
  const std::string json = folder.file("rows.json");
  const std::string command = environment + " " LAYERHUB_BUILD_DIR "/bin/emulated_cuda_bench --quick --json " +
                              json + " " + options + " 2>&1";
  BenchRun run;
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 4096> part{};
  while (const std::size_t n = std::fread(part.data(), 1, part.size(), pipe)) {
    run.said.append(part.data(), n);
  }
  run.status = WEXITSTATUS(pclose(pipe));
  std::ifstream file(json);
  for (std::string line; std::getline(file, line);) {
    run.rows.push_back(Json::parse(line));
  }
  return run;
}

bool has_figure(const Json& row) {
  for (const char* key : {"ratio", "p25", "p75", "met", "nanoseconds", "nanoseconds_against"}) {
    if (row.contains(key) && !row.at(key).is_null()) {
      return true;
    }
  }
  return false;
}

const std::vector<std::string> shares_of_a_copy{"SiluAndMul float32",
                                                "SiluAndMul bfloat16",
                                                "RMSNorm bfloat16 of 576",
                                                "RMSNorm bfloat16 of 4096",
                                                "ResidualRMSNorm bfloat16 of 576",
                                                "ResidualRMSNorm bfloat16 of 4096",
                                                "rotary_pos_emb bfloat16",
                                                "Linear Q4_1 80 x 96, one row",
                                                "Linear Q8_0 80 x 96, one row",
                                                "Linear bfloat16 80 x 96, one row"};
const std::vector<std::string> attention_decode{"attention float16, one token at depth 37",
                                                "attention float16, one token at depth 150"};
const std::vector<std::string> shares_of_the_units{"Linear Q4_1 80 x 96, 40 rows", "Linear Q8_0 80 x 96, 40 rows",
                                                   "Linear bfloat16 80 x 96, 40 rows", "attention float16, 40 tokens"};
const std::vector<std::string> launches{"SiluAndMul [1 x 64], a prepared call", "SiluAndMul [1 x 64], a bound layer"};

}  // namespace

TEST_CASE("the bench for cards finds every kernel right on an emulated card, measures it, and gives out no figure") {
  const BenchRun run = run_bench();
  INFO(run.said);
  REQUIRE(run.status == 0);
  CHECK_THAT(run.said, Contains("emulated CUDA device 80 (cuda:0)"));
  std::size_t expected = 0;
  const auto check_rows = [&](const std::vector<std::string>& names, const Json& goal, const std::string& goal_text) {
    for (const std::string& name : names) {
      INFO(name);
      const std::vector<Json> rows = run.rows_of(name);
      REQUIRE(rows.size() == 1);
      CHECK(rows[0].at("reason") == "right; figures of an emulated card mean nothing");
      CHECK(rows[0].at("goal") == goal);
      CHECK(rows[0].at("goal_text") == goal_text);
      CHECK_THAT(run.said, Contains(name));
      ++expected;
    }
  };
  check_rows(shares_of_a_copy, 0.95, ">= 0.95");
  check_rows(attention_decode, 0.80, ">= 0.8");
  check_rows(shares_of_the_units, nullptr, "");
  check_rows(launches, 1.1, "<= 1.1");
  const std::size_t beside_the_driver = run.rows_of("  against the driver's copy").size();
  CHECK(beside_the_driver == shares_of_a_copy.size() + attention_decode.size());
  CHECK(run.rows.size() == expected + beside_the_driver);
  for (const Json& row : run.rows) {
    INFO(row.dump());
    CHECK_FALSE(has_figure(row));
  }
}

TEST_CASE("the bench for cards reports a kernel that is wrong, measures nothing of it, and fails") {
  const BenchRun run = run_bench("--plugins " LAYERHUB_EMULATED_ROOT "-wrong");
  INFO(run.said);
  CHECK(run.status == 1);
  for (const Json& row : run.rows) {
    const auto name = row.at("name").get<std::string>(), reason = row.at("reason").get<std::string>();
    INFO(name << ": " << reason);
    if (name.starts_with("RMSNorm")) {
      CHECK_THAT(reason, Contains("WRONG: output[") && Contains("nan, want"));
    } else if (name.starts_with("ResidualRMSNorm")) {
      CHECK_THAT(reason, Contains("ResidualRMSNorm") && Contains("layerhub/norm"));
    } else {
      CHECK_THAT(reason, Contains("right;"));
    }
  }
  CHECK(run.rows_of("RMSNorm").size() == 2);
  CHECK(run.rows_of("  against the driver's copy").size() == shares_of_a_copy.size() + attention_decode.size() - 4);
}

TEST_CASE("the bench for cards says that there is no card, and that it has measured nothing") {
  const BenchRun run = run_bench({}, "LAYERHUB_EMULATED_CUDA=");
  CHECK(run.status == 77);
  CHECK_THAT(run.said, Contains("cuda: ") && Contains("nothing is measured"));
  CHECK(run.rows.empty());
}

TEST_CASE("the bench for cards names its card, and refuses options that it does not know") {
  const BenchRun card = run_bench("--card");
  CHECK(card.status == 0);
  CHECK_THAT(card.said, Contains("emulated CUDA device 80 (cuda:0), CUDA 13.0"));
  CHECK(card.rows.empty());
  CHECK(run_bench("--cards").status == 2);
  CHECK(run_bench("--plugins").status == 2);
}
