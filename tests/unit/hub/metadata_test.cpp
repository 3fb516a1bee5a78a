// SPDX-License-Identifier: Apache-2.0
#include "hub/metadata.hpp"

#include "support/catch.hpp"
#include "support/rounds.hpp"

#include <nlohmann/json.hpp>

#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

using layerhub::hub::parse_metadata;
using Json = nlohmann::json;

namespace {

// What the SDK wrote for a real plugin.
std::string written() {
  std::ifstream file(LAYERHUB_FAKES_ROOT "/weighted.json");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string refusal(const std::string& text) {
  const auto parsed = parse_metadata(text, "metadata.json");
  return parsed ? "accepted" : parsed.error().text;
}

// Every place in a document.
void collect(const Json& node, const Json::json_pointer& at, std::vector<Json::json_pointer>& places) {
  places.push_back(at);
  if (node.is_object()) {
    for (const auto& [key, value] : node.items()) collect(value, at / key, places);
  } else if (node.is_array()) {
    for (std::size_t i = 0; i < node.size(); ++i) collect(node[i], at / i, places);
  }
}

}  // namespace

TEST_CASE("what the SDK writes is read back: repository, revision, libraries, kernels") {
  const auto parsed = parse_metadata(written(), "metadata.json");
  REQUIRE(parsed);
  const auto& metadata = parsed.value();
  CHECK(metadata.repo == "fakes/weighted");
  CHECK(metadata.revision == "v1");
  CHECK(metadata.backend == "cpu");
  CHECK(metadata.version == 1);
  REQUIRE(metadata.libraries.size() == 1);
  REQUIRE_FALSE(metadata.libraries[0].kernels.empty());
  CHECK(metadata.libraries[0].kernels[0].count(LH_ARG_PARAM) == 1);
}

TEST_CASE("fields that are not known are ignored") {
  Json json = Json::parse(written());
  json["of-a-later-version"] = {{"deep", {1, 2, 3}}};
  json["layerhub"]["libraries"][0]["also-new"] = true;
  CHECK(refusal(json.dump()) == "accepted");
}

TEST_CASE("what is no JSON is refused with the place") {
  for (const char* text : {"", "{", "not json", "{\"id\": }", "\xff\xfe", "[1,2", "{} {}"}) {
    INFO(text);
    const std::string said = refusal(text);
    CHECK(said.starts_with("metadata.json: "));
    CHECK(said.find('\n') == std::string::npos);
  }
}

TEST_CASE("nesting without end does not exhaust the stack") {
  const std::string deep = std::string(1'000'000, '[');
  CHECK(refusal(deep) != "accepted");
  std::string objects;
  for (int i = 0; i < 200'000; ++i) objects += "{\"a\":";
  CHECK(refusal(objects) != "accepted");
  // Whole, and therefore destroyed again level by level.
  CHECK(refusal(std::string(200'000, '[') + std::string(200'000, ']')) != "accepted");
}

TEST_CASE("a value of the wrong type anywhere gives a line that names the file, or is a field that is not read") {
  const Json good = Json::parse(written());
  std::vector<Json::json_pointer> places;
  collect(good, Json::json_pointer(), places);
  REQUIRE(places.size() > 30);
  int refused = 0;
  for (const auto& place : places) {
    for (const Json& value : {Json(nullptr), Json(-1), Json(1e300), Json("\x1b[2J\n"), Json::array(), Json::object()}) {
      Json changed = good;
      changed[place] = value;
      const std::string said = refusal(changed.dump());
      if (said != "accepted") {
        ++refused;
        INFO(place.to_string() << " = " << value.dump() << ": " << said);
        CHECK(said.starts_with("metadata.json: "));
        CHECK(said.find_first_of("\n\x1b") == std::string::npos);
      }
    }
  }
  CHECK(refused > 100);
}

TEST_CASE("a field that is left out is refused by its name where the loader needs it") {
  const Json good = Json::parse(written());
  for (const char* name : {"/layerhub", "/layerhub/abi", "/layerhub/repo", "/layerhub/revision", "/layerhub/libraries",
                           "/layerhub/libraries/0/file", "/layerhub/libraries/0/kernels", "/backend"}) {
    const Json::json_pointer place(name);
    Json changed = good;
    changed[place.parent_pointer()].erase(place.back());
    INFO(name);
    const std::string said = refusal(changed.dump());
    CHECK(said != "accepted");
    CHECK(said.find(place.back()) != std::string::npos);
  }
}

TEST_CASE("a library's file can't name a place outside of its variant") {
  for (const char* file : {"../other.so", "/usr/lib/libc.so", "a/b.so", "..", "", "a\n.so"}) {
    Json changed = Json::parse(written());
    changed["layerhub"]["libraries"][0]["file"] = file;
    INFO(file);
    CHECK(refusal(changed.dump()) != "accepted");
  }
}

TEST_CASE("random damage of the text gives an answer and no crash") {
  const std::string good = written();
  std::mt19937 random(7);
  for (int round = 0; round < layerhub::testing::rounds(4000); ++round) {
    std::string changed = good;
    for (unsigned n = 1 + random() % 4; n > 0; --n) {
      const std::size_t at = random() % changed.size();
      switch (random() % 3) {
        case 0: changed[at] = static_cast<char>(random()); break;
        case 1: changed.erase(at, 1 + random() % 8); break;
        default: changed.insert(at, 1, "{}[]\",:0-e\\"[random() % 11]);
      }
    }
    const std::string said = refusal(changed);
    REQUIRE((said == "accepted" || said.starts_with("metadata.json: ")));
  }
}
