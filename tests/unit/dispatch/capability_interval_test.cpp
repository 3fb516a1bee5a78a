// SPDX-License-Identifier: Apache-2.0
// Which interval serves a capability. The rule is a linear scan in the loader; the one it is held against here is
// written the other way round, by collecting and sorting.
#include "dispatch/mapping_value.hpp"

#include "support/catch.hpp"
#include "support/rounds.hpp"

#include <algorithm>
#include <random>
#include <tuple>

using namespace layerhub;
using namespace layerhub::dispatch;

namespace {

std::vector<IntervalEntry> intervals(const std::vector<CapabilityInterval>& list) {
  std::vector<IntervalEntry> entries;
  for (const CapabilityInterval& interval : list) entries.push_back({interval, {}});
  return entries;
}

// "80-90", or "none".
std::string found(const std::vector<IntervalEntry>& entries, std::uint32_t capability) {
  const IntervalEntry* entry = narrowest(entries, capability);
  return entry == nullptr
             ? "none"
             : std::to_string(entry->interval.min_capability) + "-" + std::to_string(entry->interval.max_capability);
}
std::string found(const std::vector<CapabilityInterval>& list, std::uint32_t capability) {
  return found(intervals(list), capability);
}

}  // namespace

TEST_CASE("intervals: of several that overlap the smallest serves") {
  const std::vector<CapabilityInterval> list{{0, 100}, {70, 95}, {80, 90}};
  CHECK(found(list, 85) == "80-90");
  CHECK(found(list, 75) == "70-95");
  CHECK(found(list, 10) == "0-100");
}

TEST_CASE("intervals: a single one serves what lies in it, its bounds included") {
  const std::vector<CapabilityInterval> list{{80, 90}};
  CHECK(found(list, 80) == "80-90");
  CHECK(found(list, 90) == "80-90");
  CHECK(found(list, 79) == "none");
  CHECK(found(list, 91) == "none");
}

TEST_CASE("intervals: nothing serves a gap, and nothing serves where there are none") {
  CHECK(found(std::vector<CapabilityInterval>{{70, 75}, {86, 90}}, 80) == "none");
  CHECK(found(std::vector<CapabilityInterval>{}, 80) == "none");
}

TEST_CASE("intervals: a single point is the narrowest there is") {
  CHECK(found(std::vector<CapabilityInterval>{{0, 100}, {90, 90}, {89, 91}}, 90) == "90-90");
}

TEST_CASE("intervals: of equal width the one that starts lower serves, in whatever order they were added") {
  std::vector<CapabilityInterval> list{{80, 90}, {85, 95}, {75, 85}, {0, 200}};
  std::sort(list.begin(), list.end(), [](auto a, auto b) { return a.min_capability < b.min_capability; });
  do {
    CHECK(found(list, 85) == "75-85");
    CHECK(found(list, 90) == "80-90");
  } while (std::next_permutation(list.begin(), list.end(),
                                 [](auto a, auto b) { return a.min_capability < b.min_capability; }));
}

TEST_CASE("intervals: no properties reach from 0 to the highest capability there can be") {
  CHECK(found(std::vector<CapabilityInterval>{CapabilityInterval{}}, 0) == "0-4294967295");
  CHECK(found(std::vector<CapabilityInterval>{CapabilityInterval{}}, 0xffffffff) == "0-4294967295");
}

TEST_CASE("intervals: an equal interval takes the new mode and keeps its others") {
  MappingValue value;
  const auto entry = [](const char* repo) { return RepositoryEntry{LayerRepository{repo, "L", "v1"}}; };
  value.add("L", "cuda", {80, 90}, Mode::inference, entry("a/old"));
  value.add("L", "cuda", {80, 90}, Mode::training, entry("a/training"));
  value.add("L", "cuda", {80, 90}, Mode::inference, entry("a/new"));
  const auto& list = value.layers.find("L")->second.find("cuda")->second;
  REQUIRE(list.size() == 1);
  const auto repo = [&](Mode mode) {
    return std::get<LayerRepository>(list[0].modes.at(static_cast<std::uint32_t>(mode)).repository).repo_id;
  };
  CHECK(repo(Mode::inference) == "a/new");
  CHECK(repo(Mode::training) == "a/training");
}

TEST_CASE("intervals: random ones against collecting and sorting, in shuffled order") {
  std::mt19937 random(7);
  const auto up_to = [&](std::uint32_t most) { return static_cast<std::uint32_t>(random() % (most + 1)); };
  for (int round = 0; round < layerhub::testing::rounds(100'000); ++round) {
    std::vector<CapabilityInterval> list(up_to(8));
    for (CapabilityInterval& interval : list) {
      interval.min_capability = up_to(20);
      interval.max_capability = interval.min_capability + up_to(10);
    }
    const std::uint32_t capability = up_to(32);
    std::vector<std::tuple<std::uint32_t, std::uint32_t>> containing;  // width, start
    for (const CapabilityInterval& i : list) {
      if (i.min_capability <= capability && capability <= i.max_capability) {
        containing.emplace_back(i.max_capability - i.min_capability, i.min_capability);
      }
    }
    std::sort(containing.begin(), containing.end());
    const std::string expected = containing.empty()
                                     ? "none"
                                     : std::to_string(std::get<1>(containing[0])) + "-" +
                                           std::to_string(std::get<1>(containing[0]) + std::get<0>(containing[0]));
    std::shuffle(list.begin(), list.end(), random);
    if (found(list, capability) != expected) {
      FAIL("round " << round << ": capability " << capability << " finds " << found(list, capability) << ", not "
                    << expected);
    }
  }
  SUCCEED();
}
