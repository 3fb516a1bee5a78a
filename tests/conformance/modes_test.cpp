// SPDX-License-Identifier: Apache-2.0
// Modes: what is registered for which, what is found for a request, and what a kernel must then support.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

#include <map>

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

namespace {

constexpr Mode I = Mode::inference, T = Mode::training, IC = I | Mode::capture, TC = T | Mode::capture;
constexpr Mode F = Mode::fallback;

// What each supports beyond inference, and the factor by which its kernel is known.
constexpr const char *plain = "twice", *trains = "trains", *captures = "captures", *both = "trains-and-captures";
const std::map<std::string, float> factors{{"twice", 2}, {"trains", 2}, {"captures", 3}, {"trains-and-captures", 4}};

void add_all(TestEnvironment& env) {
  for (const char* fake : {"twice", "thrice", "trains", "captures", "trains_and_captures", "random"}) {
    env.add(fake);
  }
}

Repository repository(const std::string& fake) { return LayerRepository{"fakes/" + fake, "Scale", "v1"}; }

// A mapping of Scale on the cpu that has one repository for each of several modes.
Mapping mapping_of(const std::vector<std::pair<Mode, std::string>>& registered) {
  ModeRepositories repositories({});
  for (const auto& [mode, fake] : registered) {
    repositories.entries.emplace_back(mode, repository(fake));
  }
  return Mapping(std::vector<Mapping::LayerEntry>{{"Scale", {{"cpu", std::move(repositories)}}}});
}

// K: a kernel serves, o: the own forward, E: an error.
char outcome(const Mapping& mapping, Mode request, std::optional<Fallback> policy = {}) {
  const Scale layer;
  const use_kernel_mapping scope(mapping, false);
  try {
    return kernelize(layer, {.mode = request, .fallback = policy}).kernels() == 1 ? 'K' : 'o';
  } catch (const Error&) {
    return 'E';
  }
}

// The factor of the kernel that a request finds; 0: the own forward.
float found(const Mapping& mapping, Mode request) {
  const Scale layer;
  const use_kernel_mapping scope(mapping, false);
  kernelize(layer, {.mode = request});
  const float first = outputs(layer)[0];
  return first > 1000 ? 0 : first;
}

struct Row {
  Mode registered;
  std::vector<std::string> fakes;  // kernels of this kind
  std::string expected;            // for the requests I, T, I+C, T+C
};
const std::vector<Row> matrix{
    {I, {plain, trains, captures, both}, "Kooo"},
    {T, {trains, both}, "KKoo"},
    {IC, {captures, both}, "KoKo"},
    {TC, {both}, "KKKK"},
    {F, {both}, "KKKK"},
    {F, {trains}, "KKoo"},
    {F, {captures}, "KoKo"},
    {F, {plain}, "Kooo"},
    {IC, {plain, trains}, "EoEo"},
    {T, {plain, captures}, "EEoo"},
    {TC, {plain, trains, captures}, "EEEE"},
};
constexpr Mode requests[] = {I, T, IC, TC};

}  // namespace

TEST_CASE("the decision matrix: every registration against every request, for kernels of every kind") {
  TestEnvironment env;
  add_all(env);
  for (const Row& row : matrix) {
    for (const std::string& fake : row.fakes) {
      const Mapping mapping = mapping_of({{row.registered, fake}});
      for (std::size_t i = 0; i < 4; ++i) {
        INFO("registered for " << to_string(row.registered) << ", kernel " << fake << ", asked for "
                               << to_string(requests[i]));
        CHECK(outcome(mapping, requests[i]) == row.expected[i]);
      }
    }
  }
}

TEST_CASE("the decision matrix: never makes an error of each own forward, always an own forward of each error") {
  TestEnvironment env;
  add_all(env);
  for (const Row& row : matrix) {
    for (const std::string& fake : row.fakes) {
      const Mapping mapping = mapping_of({{row.registered, fake}});
      for (std::size_t i = 0; i < 4; ++i) {
        INFO("registered for " << to_string(row.registered) << ", kernel " << fake << ", asked for "
                               << to_string(requests[i]));
        CHECK(outcome(mapping, requests[i], Fallback::never) == (row.expected[i] == 'K' ? 'K' : 'E'));
        CHECK(outcome(mapping, requests[i], Fallback::always) == (row.expected[i] == 'K' ? 'K' : 'o'));
      }
    }
  }
}

TEST_CASE(
    "the decision matrix: when_missing falls back where nothing is registered, and not where a kernel lacks a mode") {
  TestEnvironment env;
  add_all(env);
  CHECK(outcome(mapping_of({{I, plain}}), T, Fallback::when_missing) == 'o');
  CHECK(outcome(mapping_of({{F, plain}}), T, Fallback::when_missing) == 'E');
  CHECK(outcome(mapping_of({{F, plain}}), T, Fallback::when_unsupported) == 'o');
}

TEST_CASE("of several registrations the first in the search order of the request serves") {
  TestEnvironment env;
  add_all(env);
  const struct {
    Mode request;
    std::vector<Mode> order;
  } orders[] = {{I, {I, IC, T, TC, F}}, {T, {T, TC, F}}, {IC, {IC, TC, F}}, {TC, {TC, F}}};
  for (const auto& [request, order] : orders) {
    // All five modes are registered, those of the order so far taken away one by one.
    for (std::size_t taken = 0; taken < order.size(); ++taken) {
      std::vector<std::pair<Mode, std::string>> registered;
      for (const Mode mode : {I, T, IC, TC, F}) {
        const bool is_gone = std::find(order.begin(), order.begin() + taken, mode) != order.begin() + taken;
        if (!is_gone) {
          registered.emplace_back(mode, mode == order[taken] ? both : "random");
        }
      }
      INFO("asked for " << to_string(request) << ", the first left is " << to_string(order[taken]));
      CHECK(found(mapping_of(registered), request) == factors.at(both));
    }
  }
}

TEST_CASE("kernel modes: a repository registered without a mode serves every mode that it supports") {
  TestEnvironment env;
  add_all(env);
  const Mapping mapping{{"Scale", {{"cpu", LayerRepository{"fakes/trains-and-captures", "Scale", "v1"}}}}};
  for (const Mode request : requests) {
    CHECK(outcome(mapping, request) == 'K');
  }
}

TEST_CASE("kernel modes: training alone, training beside a repository for the rest, training with capture alone") {
  TestEnvironment env;
  add_all(env);
  CHECK(found(mapping_of({{T, trains}}), I) == 2);
  const Mapping beside = mapping_of({{F, both}, {T, trains}});
  CHECK(found(beside, T) == 2);
  CHECK(found(beside, I) == 2);
  CHECK(found(beside, IC) == 4);
  CHECK(found(beside, TC) == 4);
  CHECK(found(mapping_of({{TC, both}}), I) == 4);
}

TEST_CASE("inference modes: inference alone, with capture alone, and both") {
  TestEnvironment env;
  add_all(env);
  CHECK(found(mapping_of({{I, plain}}), I) == 2);
  CHECK(found(mapping_of({{I, plain}}), IC) == 0);
  CHECK(found(mapping_of({{IC, captures}}), I) == 3);
  CHECK(found(mapping_of({{IC, captures}}), IC) == 3);
  const Mapping two = mapping_of({{I, plain}, {IC, captures}});
  CHECK(found(two, I) == 2);
  CHECK(found(two, IC) == 3);
}

TEST_CASE("mixed modes: each of the four requests finds the repository that is registered for it") {
  TestEnvironment env;
  add_all(env);
  const Mapping two = mapping_of({{I, captures}, {T, trains}});
  CHECK(found(two, I) == 3);
  CHECK(found(two, T) == 2);
  const Mapping four = mapping_of({{I, plain}, {T, trains}, {IC, captures}, {TC, both}});
  CHECK(found(four, I) == 2);
  CHECK(found(four, T) == 2);
  CHECK(found(four, IC) == 3);
  CHECK(found(four, TC) == 4);
}

TEST_CASE("cross fallback: a repository for more serves a request for less, and never the other way round") {
  TestEnvironment env;
  add_all(env);
  CHECK(found(mapping_of({{T, trains}}), I) == 2);
  CHECK(found(mapping_of({{TC, both}}), T) == 4);
  const Mapping inference_alone = mapping_of({{I, plain}, {IC, captures}});
  CHECK(found(inference_alone, T) == 0);
  CHECK(found(inference_alone, TC) == 0);
}

TEST_CASE("modes that no request can have are errors that say why") {
  const Scale layer;
  const auto error = [&](Mode mode) { return error_of([&] { kernelize(layer, {.mode = mode}); }); };
  CHECK_THAT(error(I | T), Contains("exclude each other"));
  CHECK_THAT(error(F), Contains("registration alone"));
  CHECK_THAT(error(F | I), Contains("registration alone"));
  CHECK_THAT(error(Mode::capture), Contains("add inference or training"));
  CHECK_THAT(error(Mode::deterministic),
             Contains("add inference or training") || Contains("use inference or training"));
  CHECK_THAT(error_of([] { use_call_options({.mode = I | T}); }), Contains("exclude each other"));
}

TEST_CASE("modes that no repository can be registered for are errors, and the mapping stays as it was") {
  TestEnvironment env;
  add_all(env);
  const Scale layer;
  for (const Mode mode : {I | T, F | I, Mode::capture, I | Mode::deterministic}) {
    CHECK_THROWS_AS(mapping_of({{mode, plain}}), Error);
  }
  CHECK(outputs(layer) == own_outputs);
}

TEST_CASE("a deterministic request takes kernels that declare it and no others") {
  TestEnvironment env;
  add_all(env);
  const Mode deterministic = I | Mode::deterministic;
  CHECK(outcome(mapping_of({{F, plain}}), deterministic) == 'K');
  CHECK(outcome(mapping_of({{F, "random"}}), I) == 'K');
  CHECK(outcome(mapping_of({{F, "random"}}), deterministic) == 'o');
  CHECK(outcome(mapping_of({{I, "random"}}), deterministic, Fallback::never) == 'E');
  const Scale layer;
  const use_kernel_mapping scope(mapping_of({{F, "random"}}));
  const use_call_options options({.mode = deterministic});
  CHECK(outputs(layer) == own_outputs);
  CHECK_THAT(explain(layer), Contains("inference|deterministic"));
}

TEST_CASE("call options hold for the scope, nest, and are restored") {
  TestEnvironment env;
  add_all(env);
  const Scale layer;
  const use_kernel_mapping scope(mapping_of({{I, plain}, {IC, captures}}));
  CHECK(outputs(layer)[0] == 2);
  {
    const use_call_options capture({.mode = IC});
    CHECK(outputs(layer)[0] == 3);
    {
      const use_call_options back({});
      CHECK(outputs(layer)[0] == 2);
    }
    const use_kernel_mapping inner(mapping_of({{IC, both}}));  // a new mapping keeps the options
    CHECK(outputs(layer)[0] == 4);
    CHECK(current_call_options().mode == IC);
  }
  CHECK(outputs(layer)[0] == 2);
}
