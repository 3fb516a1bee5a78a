// SPDX-License-Identifier: Apache-2.0
// Which mapping is in force where: the process' default, scopes, nesting, other threads, and what a registration keeps.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

#include <algorithm>
#include <random>
#include <thread>

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

namespace {

float first_output(const Scale& layer) { return outputs(layer)[0]; }

template <class Body>
void in_another_thread(Body&& body) {
  std::thread(body).join();
}

LayerRepository from(const char* repo) { return {repo, "Scale", "v1"}; }

}  // namespace

TEST_CASE("mapping contexts: base, extra, nested override, restore, nested without inherit, restore, restore") {
  struct Other : use_kernel_forward_from_hub<Other, "Other"> {
    void forward(const Tensor&, Tensor& y) const { y.values = own_outputs; }
  };
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  const Scale layer;
  const Other other;
  const auto both = [&] { return std::pair(first_output(layer), outputs(other)[0]); };
  const Mapping extra{{"Other", {{"cpu", from("fakes/thrice")}}}};
  register_kernel_mapping(scale_from("fakes/twice"));
  CHECK(both() == std::pair(2.f, 1001.f));
  {
    const use_kernel_mapping added(extra);
    CHECK(both() == std::pair(2.f, 3.f));
    {
      const use_kernel_mapping overriding(scale_from("fakes/thrice"));
      CHECK(both() == std::pair(3.f, 3.f));
    }
    CHECK(both() == std::pair(2.f, 3.f));
    {
      const use_kernel_mapping alone(scale_from("fakes/thrice"), false);
      CHECK(both() == std::pair(3.f, 1001.f));
    }
    CHECK(both() == std::pair(2.f, 3.f));
  }
  CHECK(both() == std::pair(2.f, 1001.f));
}

TEST_CASE("a scope is left exactly when an exception passes") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  const auto before = current_kernel_mapping().value();
  try {
    const use_kernel_mapping scope(scale_from("fakes/twice"));
    CHECK(first_output(layer) == 2);
    const use_call_options options({.mode = Mode::inference | Mode::capture});
    throw 1;
  } catch (int) {
  }
  CHECK(current_kernel_mapping().value() == before);
  CHECK(outputs(layer) == own_outputs);
}

TEST_CASE("a scope that could not be entered leaves no trace") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  const use_kernel_mapping outer(scale_from("fakes/twice"));
  const auto before = current_kernel_mapping().value();
  CHECK_THROWS_AS(use_kernel_mapping(Mapping{{"Scale", {{"abacus", from("a/b")}}}}), Error);
  CHECK_THROWS_AS(use_call_options({.mode = Mode::fallback}), Error);
  CHECK(current_kernel_mapping().value() == before);
  CHECK(first_output(layer) == 2);
}

TEST_CASE("registering inside a scope ends with the scope") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  {
    const use_kernel_mapping scope(Mapping{});
    register_kernel_mapping(scale_from("fakes/twice"));
    CHECK(first_output(layer) == 2);
    register_call_options({.fallback = Fallback::never});
    CHECK(current_call_options().fallback == Fallback::never);
  }
  CHECK(outputs(layer) == own_outputs);
  CHECK(current_call_options() == CallOptions{});
}

TEST_CASE("registering without inheriting clears what was there, for all threads") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  register_kernel_mapping(scale_from("fakes/twice"));
  in_another_thread([&] { CHECK(first_output(layer) == 2); });
  register_kernel_mapping(Mapping{}, false);
  CHECK(outputs(layer) == own_outputs);
  in_another_thread([&] { CHECK(outputs(layer) == own_outputs); });
}

TEST_CASE("a registration after a scope has ended reaches all threads") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  { const use_kernel_mapping scope(Mapping{}); }
  register_kernel_mapping(scale_from("fakes/twice"));
  in_another_thread([&] { CHECK(first_output(layer) == 2); });
}

TEST_CASE("a scope is carried to another thread by capturing and adopting it, and is left there again") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  const Scale layer;
  register_kernel_mapping(scale_from("fakes/twice"));
  const use_kernel_mapping scope(scale_from("fakes/thrice"));
  CHECK(first_output(layer) == 3);
  const CapturedScope captured = capture_scope();
  in_another_thread([&] {
    CHECK(first_output(layer) == 2);
    {
      const adopt_scope adopted(captured);
      CHECK(first_output(layer) == 3);
      register_kernel_mapping(scale_from("fakes/twice"));  // changes what this thread adopted, and nothing else
      CHECK(first_output(layer) == 2);
    }
    CHECK(first_output(layer) == 2);
  });
  CHECK(first_output(layer) == 3);
}

TEST_CASE("no scope can be captured too: adopting it shows what is in force for the process") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  const CapturedScope none = capture_scope();
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  {
    const adopt_scope adopted(none);
    CHECK(outputs(layer) == own_outputs);
  }
  CHECK(first_output(layer) == 2);
}

TEST_CASE("a scope that is entered again serves from the binding it made before") {
  TestEnvironment env;
  env.add("instance");
  const Scale layer;
  const Mapping mapping = scale_from("fakes/instance");
  int bound = 0;
  set_event_hook([&](const LoaderEvent& event) { bound += event.kind == EventKind::bound; });
  for (int i = 0; i < 3; ++i) {
    const use_kernel_mapping scope(mapping);
    CHECK(first_output(layer) == 2);
  }
  set_event_hook({});
  CHECK(bound == 1);
}

TEST_CASE("nothing is loaded by registering, only by the first call") {
  TestEnvironment env;
  env.add("instance");
  const std::size_t before = loaded_kernels().size();
  const use_kernel_mapping scope(scale_from("fakes/instance"));
  CHECK(loaded_kernels().size() == before);
  const use_kernel_mapping never_called(scale_from("fakes/is-not-there"), false);
}

TEST_CASE("adding a mode or an interval keeps the others that are registered") {
  TestEnvironment env;
  env.add("twice");
  env.add("trains");
  env.add("thrice");
  const Scale layer;
  const std::uint32_t here = device_info(Device::cpu()).capability;
  const auto with = [&](CapabilityInterval interval, Mode mode, const char* repo) {
    return Mapping{{"Scale", {{MappedDevice{"cpu", CpuProperties{interval}}, ModeRepositories{{mode, from(repo)}}}}}};
  };
  const use_kernel_mapping base(with({here, here}, Mode::inference, "fakes/twice"));
  const use_kernel_mapping more(with({here, here}, Mode::training, "fakes/trains"));
  const use_kernel_mapping wider(with({0, 100}, Mode::inference, "fakes/thrice"));
  CHECK(first_output(layer) == 2);
  kernelize(layer, {.mode = Mode::training});
  CHECK(binding_of(layer)->repo_id == "fakes/trains");
}

TEST_CASE("an equal interval and mode is replaced by the later registration") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  const Scale layer;
  const use_kernel_mapping base(scale_from("fakes/twice"));
  const use_kernel_mapping later(scale_from("fakes/thrice"));
  CHECK(first_output(layer) == 3);
}

TEST_CASE("a mapping tells its layers, sorted, and an empty one that it is empty") {
  CHECK(Mapping{}.empty());
  const Mapping mapping{{"b", {{"cpu", from("a/b")}}}, {"a", {{"cuda", from("a/b")}}}};
  CHECK_FALSE(mapping.empty());
  CHECK(mapping.layers() == std::vector<std::string>{"a", "b"});
}

TEST_CASE("an unknown device in a mapping is an error that lists the known ones") {
  const std::string error = error_of([] { Mapping{{"Scale", {{"abacus", from("a/b")}}}}; });
  for (const char* known : {"abacus", "cpu", "cuda", "rocm", "opencl", "xpu", "mps", "npu", "tpu", "neuron"}) {
    CHECK_THAT(error, Contains(known));
  }
}

TEST_CASE("a repository needs a version or a revision, not both and not neither") {
  const auto error = [](LayerRepository repository) {
    return error_of([&] { Mapping{{"Scale", {{"cpu", repository}}}}; });
  };
  CHECK_THAT(error({.repo_id = "a/b", .layer_name = "Scale"}), Contains("neither"));
  CHECK_THAT(error({"a/b", "Scale", "v1", 1}), Contains("both"));
}

TEST_CASE("properties are given with their own device type, and their bounds in order") {
  const auto error = [](MappedDevice device) {
    return error_of([&] { Mapping(std::vector<Mapping::LayerEntry>{{"Scale", {{device, from("a/b")}}}}); });
  };
  CHECK_THAT(error({"cuda", RocmProperties{{0, 90}}}), Contains("properties of rocm are given for `cuda`"));
  CHECK_THAT(error({"cpu", CudaProperties{{80, 90}}}), Contains("properties of cuda"));
  CHECK_THAT(error({"cuda", CudaProperties{{90, 80}}}), Contains("min_capability 90 is above max_capability 80"));
}

TEST_CASE("a host that enters ever new mappings is served under each, and again when it comes back") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  const Scale layer;
  const Mapping twice = scale_from("fakes/twice");
  for (int round = 0; round < 40; ++round) {
    const use_kernel_mapping fresh(scale_from(round % 2 == 0 ? "fakes/twice" : "fakes/thrice"));
    CHECK(first_output(layer) == (round % 2 == 0 ? 2 : 3));
    const use_kernel_mapping again(twice);
    CHECK(first_output(layer) == 2);
  }
}

TEST_CASE("what a host's own functions throw while a layer is bound passes, and the layer goes on") {
  struct Throwing : use_kernel_forward_from_hub<Throwing, "Scale"> {
    mutable int throws = 2;
    bool hub_condition() const {
      if (throws == 2) throw std::runtime_error("from hub_condition");
      return true;
    }
    std::vector<Member> hub_members() const {
      if (throws == 1) throw std::runtime_error("from hub_members");
      return {};
    }
    void forward(const Tensor&, Tensor& y) const { y.values = own_outputs; }
  };
  TestEnvironment env;
  env.add("twice");
  const Throwing layer;
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  for (; layer.throws > 0; --layer.throws) {
    CHECK_THROWS_AS(outputs(layer), std::runtime_error);
    CHECK_THROWS_AS(kernelize(layer), std::runtime_error);
  }
  CHECK(outputs(layer)[0] == 2);
}
