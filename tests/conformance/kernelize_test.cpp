// SPDX-License-Identifier: Apache-2.0
// Binding a model ahead of time: the decision chain for each layer, policies, conditions, and the way back.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

#include <map>

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

namespace {

struct Model {
  Scale a, b;
  void visit_layers(auto&& visit) { visit(a), visit(b); }
};

// A model of somebody else's: its layers are lent by a function beside it.
struct TheirModel {
  Scale a;
};
void visit_layers(TheirModel& model, auto&& visit) { visit(model.a); }

struct Conditional : use_kernel_forward_from_hub<Conditional, "Scale"> {
  std::string activation = "silu";
  bool hub_condition() const { return activation == "silu"; }
  void forward(const Tensor&, Tensor& y) const { y.values = own_outputs; }
};

struct Quiet : use_kernel_forward_from_hub<Quiet, "Scale"> {
  virtual ~Quiet() = default;
  virtual void forward(const Tensor&, Tensor& y) const { y.values = own_outputs; }
};
struct Loud : Quiet {
  void forward(const Tensor&, Tensor& y) const override { y.values = {7, 7, 7}; }
};
struct Marked : Quiet, use_kernel_forward_from_hub<Marked, "Other"> {
  using Mark = use_kernel_forward_from_hub<Marked, "Other">;
  using Mark::operator(), Mark::backward, Mark::call_own_forward, Mark::layer_ref;
  void forward(const Tensor&, Tensor& y) const override { y.values = {8, 8, 8}; }
};

Mapping mapping_for(MappedDevice device, const char* repo, Mode mode = Mode::fallback) {
  return Mapping(std::vector<Mapping::LayerEntry>{
      {"Scale", {{std::move(device), ModeRepositories{{mode, LayerRepository{repo, "Scale", "v1"}}}}}}});
}

std::string kernelize_error(const Mapping& mapping, KernelizeOptions options = {}) {
  const Scale layer;
  const use_kernel_mapping scope(mapping, false);
  return error_of([&] { kernelize(layer, options); });
}

const KernelizeOptions never{.fallback = Fallback::never};

}  // namespace

TEST_CASE("kernelize binds once and for all mappings, other layers of the class stay as they are") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer, other;
  {
    const use_kernel_mapping scope(scale_from("fakes/twice"));
    CHECK(kernelize(layer).kernels() == 1);
  }
  CHECK(outputs(layer)[0] == 2);
  CHECK(outputs(other) == own_outputs);
}

TEST_CASE("unkernelize restores exactly the own forward, and kernelizing again swaps or reverts") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  Model model;
  {
    const use_kernel_mapping scope(scale_from("fakes/twice"));
    kernelize(model);
  }
  CHECK(outputs(model.a)[0] == 2);
  {
    const use_kernel_mapping scope(scale_from("fakes/thrice"));
    kernelize(model);
  }
  CHECK(outputs(model.b)[0] == 3);
  kernelize(model);  // nothing is mapped here
  CHECK(outputs(model.a) == own_outputs);
  {
    const use_kernel_mapping scope(scale_from("fakes/thrice"));
    kernelize(model);
  }
  unkernelize(model);
  CHECK(outputs(model.a) == own_outputs);
  CHECK_FALSE(binding_of(model.a));
}

TEST_CASE("kernelizing a model again replaces the tables of those layers alone whose kernel has changed") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  const Scale layer;
  const auto serial = [&] { return layer.layer_ref().slot->table().serial; };
  {
    const use_kernel_mapping scope(scale_from("fakes/twice"));
    kernelize(layer);
    const std::uint64_t first = serial();
    kernelize(layer);
    CHECK(serial() == first);
    unkernelize(layer);
    kernelize(layer);
    CHECK(serial() != first);
  }
  const std::uint64_t last = serial();
  const use_kernel_mapping scope(scale_from("fakes/thrice"));
  kernelize(layer);
  CHECK(serial() != last);
  CHECK(outputs(layer)[0] == 3);
}

TEST_CASE("a model that is somebody else's is kernelized through a function beside it") {
  TestEnvironment env;
  env.add("twice");
  TheirModel model;
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  const KernelizeReport report = kernelize(model);
  CHECK(report.kernels() == 1);
  CHECK(report.layers[0].name == "Scale");
  CHECK(report.layers[0].served_by == "fakes/twice@v1: fake on cpu");
}

TEST_CASE("a mapping that lacks the layer falls back, or is the error No layer mapping") {
  CHECK(kernelize_error(Mapping{}) == "no error");
  CHECK_THAT(kernelize_error(Mapping{}, never), Contains("No layer mapping for `Scale`"));
}

TEST_CASE("a mapping that lacks the device falls back, or is an error that names layer and device") {
  const Mapping cuda = mapping_for("cuda", "fakes/twice");
  CHECK(kernelize_error(cuda) == "no error");
  CHECK_THAT(kernelize_error(cuda, never), Contains("No layer mapping for `Scale` with device type `cpu`"));
}

TEST_CASE("a mapping without the capability falls back, or is an error that names it") {
  const Mapping future = mapping_for({"cpu", CpuProperties{{50, 60}}}, "fakes/twice");
  CHECK(kernelize_error(future) == "no error");
  CHECK_THAT(kernelize_error(future, never),
             Contains("No layer mapping for `Scale` device `cpu` with the right properties"));
}

TEST_CASE("a mapping without the mode falls back, or is an error that names layer and mode") {
  const Mapping training = mapping_for("cpu", "fakes/twice", Mode::training);
  const KernelizeOptions capture{.mode = Mode::inference | Mode::capture};
  CHECK(kernelize_error(training, capture) == "no error");
  CHECK_THAT(kernelize_error(training, {.mode = capture.mode, .fallback = Fallback::never}),
             Contains("No repository for `Scale` for configuration mode=inference|capture"));
}

TEST_CASE("the narrowest interval without a usable mode does not fall through to a wider one") {
  TestEnvironment env;
  env.add("twice");
  env.add("trains");
  const Scale layer;
  const std::uint32_t here = device_info(Device::cpu()).capability;
  const use_kernel_mapping wide(mapping_for({"cpu", CpuProperties{{0, 100}}}, "fakes/twice"));
  const use_kernel_mapping narrow(mapping_for({"cpu", CpuProperties{{here, here}}}, "fakes/trains", Mode::training));
  CHECK(kernelize(layer, {.mode = Mode::inference | Mode::capture}).kernels() == 0);
  CHECK(kernelize(layer, {.mode = Mode::inference}).kernels() == 1);
  CHECK(binding_of(layer)->repo_id == "fakes/trains");
}

TEST_CASE("a load that fails is an error by default and under never, and falls back where the policy is always") {
  for (const char* repo : {"fakes/is-not-there", "fakes/create-fails"}) {
    TestEnvironment env;
    env.add("create_fails");
    const Mapping mapping = mapping_for("cpu", repo);
    CHECK_THAT(kernelize_error(mapping), Contains(repo));
    for (const Fallback policy : {Fallback::never, Fallback::when_missing, Fallback::when_unsupported}) {
      CHECK_THAT(kernelize_error(mapping, {.fallback = policy}), Contains(repo));
    }
    CHECK(kernelize_error(mapping, {.fallback = Fallback::always}) == "no error");
  }
}

TEST_CASE("a signature that does not fit is an error by default, and falls back where the policy is always") {
  TestEnvironment env;
  env.add("weighted");
  const Mapping mapping = mapping_for("cpu", "fakes/weighted");
  CHECK_THAT(kernelize_error(mapping), Contains("weight `weight`"));
  CHECK_THAT(kernelize_error(mapping, never), Contains("weight `weight`"));
  CHECK(kernelize_error(mapping, {.fallback = Fallback::always}) == "no error");
}

TEST_CASE("kernelize changes nothing where one layer is an error") {
  TestEnvironment env;
  env.add("twice");
  env.add("create_fails");
  Model model;
  {
    const use_kernel_mapping scope(scale_from("fakes/twice"));
    kernelize(model);
  }
  const use_kernel_mapping scope(scale_from("fakes/create-fails"));
  CHECK_THAT(error_of([&] { kernelize(model); }), Contains("fakes/create-fails@v1"));
  CHECK(outputs(model.a)[0] == 2);
  CHECK(outputs(model.b)[0] == 2);
}

TEST_CASE("a layer whose condition is false keeps its own forward and is never an error") {
  TestEnvironment env;
  env.add("twice");
  Conditional silu, gelu;
  gelu.activation = "gelu";
  {
    const use_kernel_mapping scope(scale_from("fakes/twice"));
    CHECK(kernelize(silu, never).kernels() == 1);
    CHECK(kernelize(gelu, never).kernels() == 0);
    CHECK_THAT(explain(gelu), Contains("hub_condition()"));
  }
  CHECK(outputs(silu)[0] == 2);
  CHECK(outputs(gelu) == own_outputs);
  const use_kernel_mapping missing(scale_from("fakes/is-not-there"), false);
  CHECK(kernelize(gelu, never).kernels() == 0);
}

TEST_CASE("a condition is asked again when the layer is bound again") {
  TestEnvironment env;
  env.add("twice");
  Conditional layer;
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  CHECK(outputs(layer)[0] == 2);
  layer.activation = "gelu";
  rebind(layer);
  CHECK(outputs(layer) == own_outputs);
}

TEST_CASE("a subclass that overrides forward keeps its own, unless it is marked itself") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  const Quiet quiet;
  const Loud loud;
  const Quiet& loud_as_quiet = loud;
  CHECK(outputs(quiet)[0] == 2);
  CHECK(outputs(loud) == std::vector<float>{7, 7, 7});
  CHECK(outputs(loud_as_quiet) == std::vector<float>{7, 7, 7});
  CHECK_THAT(explain(loud_as_quiet), Contains("derived from the marked one"));
  const Marked marked;
  CHECK(outputs(marked) == std::vector<float>{8, 8, 8});
  const use_kernel_mapping other(Mapping{{"Other", {{"cpu", LayerRepository{"fakes/thrice", "Scale", "v1"}}}}});
  CHECK(outputs(marked)[0] == 3);
}

TEST_CASE("every host type is validated, not only the first that takes a repository's kernel") {
  struct TwoInputs : use_kernel_forward_from_hub<TwoInputs, "Scale"> {
    void forward(const Tensor&, const Tensor&, Tensor& y) const { y.values = own_outputs; }
  };
  TestEnvironment env;
  env.add("twice");
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  const Scale first;
  const TwoInputs second;
  CHECK(kernelize(first).kernels() == 1);
  CHECK_THAT(error_of([&] { kernelize(second); }), Contains("argument 2"));
}

TEST_CASE("a missing member is refused before the first call, and names the member") {
  struct Bare : use_kernel_forward_from_hub<Bare, "Scale"> {
    Tensor weight{{1, 10, 100}};
    auto hub_members() const { return members(param("weight", weight)); }
    void forward(const Tensor&, Tensor& y) const { y.values = own_outputs; }
  };
  TestEnvironment env;
  env.add("weighted");
  const use_kernel_mapping scope(scale_from("fakes/weighted"));
  CHECK_THAT(error_of([&] {
               const Bare layer;
               kernelize(layer);
             }),
             Contains("attribute `bias`"));
}

TEST_CASE("a member of another kind than the kernel asks for is refused by name") {
  struct Odd : use_kernel_forward_from_hub<Odd, "Scale"> {
    Tensor weight{{1, 10, 100}};
    auto hub_members() const { return members(param("weight", weight), attribute("bias", "a text")); }
    void forward(const Tensor&, Tensor& y) const { y.values = own_outputs; }
  };
  TestEnvironment env;
  env.add("weighted");
  const use_kernel_mapping scope(scale_from("fakes/weighted"));
  CHECK_THAT(error_of([&] {
               const Odd layer;
               kernelize(layer);
             }),
             Contains("attribute `bias`") && Contains("string"));
}

TEST_CASE("a member that no kernel asks for is ignored") {
  struct Rich : use_kernel_forward_from_hub<Rich, "Scale"> {
    auto hub_members() const { return members(attribute("note", "unused")); }
    void forward(const Tensor&, Tensor& y) const { y.values = own_outputs; }
  };
  TestEnvironment env;
  env.add("twice");
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  const Rich layer;
  CHECK(kernelize(layer).kernels() == 1);
}

TEST_CASE("each step of the chain that was reached can be asked for afterwards, also when it was an error") {
  TestEnvironment env;
  env.add("create_fails");
  const Scale layer;
  const use_kernel_mapping scope(scale_from("fakes/create-fails"));
  CHECK_THROWS_AS(kernelize(layer), Error);
  const std::string text = explain(layer);
  for (const char* step : {"+ mapping", "+ repository", "+ library", "- create", "no room for the fake", "an error"}) {
    CHECK_THAT(text, Contains(step));
  }
}

TEST_CASE("hooks tell what was loaded, bound, fell back, was declined and refused, and are taken away") {
  TestEnvironment env;
  env.add("strict");
  env.add("declines");
  std::map<EventKind, int> counts;
  std::string last;
  set_event_hook([&](const LoaderEvent& event) {
    ++counts[event.kind];
    last = std::string(event.text);
    throw 1;  // what a hook throws concerns nobody
  });
  const Scale strict, declining, unmapped;
  {
    const use_kernel_mapping scope(scale_from("fakes/strict"));
    outputs(strict);  // of rank 1, which the fake does not take
    CHECK_THAT(last, Contains("rank"));
    outputs(strict);
  }
  {
    const use_kernel_mapping scope(scale_from("fakes/declines"));
    outputs(declining);
  }
  outputs(unmapped);
  CHECK_THAT(last, Contains("No layer mapping"));
  CHECK(counts[EventKind::loaded] == 2);
  CHECK(counts[EventKind::bound] == 2);
  CHECK(counts[EventKind::refused] == 2);
  CHECK(counts[EventKind::declined] == 1);
  CHECK(counts[EventKind::fell_back] == 1);
  set_event_hook({});
  outputs(strict);
  CHECK(counts[EventKind::refused] == 2);
}
