// SPDX-License-Identifier: Apache-2.0
// What a marked layer runs: its own forward, a kernel, and what decides between them.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

#include <layerhub/layers/activation.hpp>

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

TEST_CASE("a layer without a mapping runs its own forward") {
  const TestEnvironment env;
  const Scale layer;
  CHECK(outputs(layer) == own_outputs);
  CHECK_THAT(explain(layer), Contains("No layer mapping for `Scale`"));
}

TEST_CASE("a layer that is not kernelized gets its arguments as they were passed") {
  struct Kinds : use_kernel_forward_from_hub<Kinds, "Kinds"> {
    mutable const Tensor* input = nullptr;
    mutable Tensor* output = nullptr;
    mutable const Tensor* absent = nullptr;
    mutable std::int64_t integer = 0;
    mutable double real = 0;
    void forward(const Tensor& x, const Tensor* maybe, int n, double r, Tensor& y) const {
      input = &x, absent = maybe, integer = n, real = r, output = &y;
    }
  };
  const Kinds layer;
  const Tensor x({1.f});
  Tensor y({1.f});
  layer(x, nullptr, 3, 0.25, y);
  CHECK(layer.input == &x);
  CHECK(layer.output == &y);
  CHECK(layer.absent == nullptr);
  CHECK(layer.integer == 3);
  CHECK(layer.real == 0.25);
}

TEST_CASE("a mapped layer runs the kernel and not its own forward") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  CHECK(outputs(layer) == std::vector<float>{2, 4, 6});
  REQUIRE(binding_of(layer));
  CHECK(binding_of(layer)->repo_id == "fakes/twice");
  CHECK(binding_of(layer)->revision == "v1");
}

TEST_CASE("names of other layers in a mapping do not disturb") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  const use_kernel_mapping scope(
      Mapping{{"Other", {{"cpu", LayerRepository{.repo_id = "fakes/twice", .layer_name = "Scale", .version = 1}}}}});
  CHECK(outputs(layer) == own_outputs);
}

TEST_CASE("a capability interval serves the capabilities within it and no others") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  const auto mapping = [](std::uint32_t least, std::uint32_t most) {
    return Mapping{
        {"Scale",
         {{MappedDevice{"cpu", CpuProperties{{least, most}}}, LayerRepository{"fakes/twice", "Scale", "v1"}}}}};
  };
  const std::uint32_t here = device_info(Device::cpu()).capability;
  {
    const use_kernel_mapping scope(mapping(here, here));
    CHECK(outputs(layer)[0] == 2);
  }
  const use_kernel_mapping scope(mapping(here + 1, here + 9));
  CHECK(outputs(layer) == own_outputs);
  CHECK_THAT(explain(layer), Contains("with the right properties"));
}

TEST_CASE("a copy of a layer is unbound, a moved one keeps its binding") {
  TestEnvironment env;
  env.add("twice");
  Scale layer;
  {
    const use_kernel_mapping scope(scale_from("fakes/twice"));
    kernelize(layer);
  }
  const Scale copy = layer;
  CHECK(outputs(copy) == own_outputs);
  const Scale moved = std::move(layer);
  CHECK(outputs(moved)[0] == 2);
}

TEST_CASE("a layer's weights and attributes reach the kernel, and a missing one is an error at bind") {
  struct Weighted : use_kernel_forward_from_hub<Weighted, "Scale"> {
    Tensor weight{{1, 10, 100}};
    double bias = 0.5;
    bool lends_bias = true;
    auto hub_members() const {
      return lends_bias ? members(param("weight", weight), attribute("bias", bias)) : members(param("weight", weight));
    }
    void forward(const Tensor&, Tensor& y) const { y.values = own_outputs; }
  };
  TestEnvironment env;
  env.add("weighted");
  const use_kernel_mapping scope(scale_from("fakes/weighted"));
  const Weighted layer;
  CHECK(outputs(layer) == std::vector<float>{1.5, 20.5, 300.5});
  Weighted without;
  without.lends_bias = false;
  CHECK_THAT(error_of([&] { outputs(without); }), Contains("attribute `bias`"));
  const Scale nothing;
  CHECK_THAT(error_of([&] { outputs(nothing); }), Contains("weight `weight`"));
}

TEST_CASE("a weight without data or with a negative stride is an error that names it, before any kernel reads it") {
  struct Weighted : use_kernel_forward_from_hub<Weighted, "Scale"> {
    Tensor weight{{1, 10, 100}};
    auto hub_members() const { return members(param("weight", weight), attribute("bias", 0.5)); }
    void forward(const Tensor&, Tensor& y) const { y.values = own_outputs; }
  };
  TestEnvironment env;
  env.add("weighted");
  const use_kernel_mapping scope(scale_from("fakes/weighted"));
  Weighted without;
  without.weight = Tensor({}, {3});
  CHECK_THAT(error_of([&] { outputs(without); }), Contains("param `weight` has no data"));
  Weighted backwards;
  backwards.weight.strides = {-1};
  CHECK_THAT(error_of([&] { outputs(backwards); }), Contains("param `weight` has a negative stride"));
}

TEST_CASE("states, scalars and an optional input stand where the kernel declares them") {
  struct Ordered : use_kernel_forward_from_hub<Ordered, "Ordered"> {
    void forward(Tensor&, const Tensor&, std::int64_t, Tensor&, float, const Tensor*) const {}
  };
  TestEnvironment env;
  env.add("ordered");
  const use_kernel_mapping scope(Mapping{{"Ordered", {{"cpu", LayerRepository{"fakes/ordered", "Ordered", "v1"}}}}});
  const Ordered layer;
  Tensor memory({10.f}), y({0, 0});
  const Tensor x({1, 2}), offset({1000.f});
  layer(memory, x, 3, y, 0.5f, nullptr);
  CHECK(y.values == std::vector<float>{31.5, 32.5});
  CHECK(memory.values[0] == 11);
  layer(memory, x, 1, y, 0.f, &offset);
  CHECK(y.values == std::vector<float>{1012, 1013});
}

TEST_CASE("a forward of other arguments than the kernel's is an error that names the difference") {
  struct Wrong : use_kernel_forward_from_hub<Wrong, "Scale"> {
    void forward(const Tensor&, const Tensor&, Tensor&) const {}
  };
  TestEnvironment env;
  env.add("twice");
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  const Wrong wrong;
  const Tensor x({1.f});
  Tensor y({1.f});
  CHECK_THAT(error_of([&] { wrong(x, x, y); }), Contains("argument 2") && Contains("`y`"));
}

TEST_CASE("an argument of another kind than the kernel's is an error that names both kinds") {
  struct Wrong : use_kernel_forward_from_hub<Wrong, "Scale"> {
    void forward(const Tensor&, int) const {}
  };
  TestEnvironment env;
  env.add("twice");
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  const Wrong wrong;
  CHECK_THAT(error_of([&] { kernelize(wrong); }), Contains("an integer") && Contains("a tensor to write"));
}

TEST_CASE("a kernel computes what its layer's reference does") {
  TestEnvironment env;
  set_plugin_roots({LAYERHUB_PLUGIN_ROOT});
  struct SiluAndMul : use_kernel_forward_from_hub<SiluAndMul, "SiluAndMul"> {
    void forward(const Tensor&, Tensor&) const { FAIL("the own forward runs"); }
  };
  const use_kernel_mapping scope(
      Mapping{{"SiluAndMul", {{"cpu", LayerRepository{"layerhub/activation", "SiluAndMul", "v1"}}}}});
  const SiluAndMul layer;
  const Tensor x({-2, -1, 0, 3, 0.5f, 2, 7, -4}, {2, 4});
  Tensor y({0, 0, 0, 0}, {2, 2});
  layer(x, y);
  sdk::ReferenceCall reference;
  reference.tensors["x"] = {x.shape, {x.values.begin(), x.values.end()}};
  reference.tensors["y"] = {y.shape, std::vector<double>(4)};
  layers::SiluAndMul::reference(reference);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(y.values[i] == Approx(reference.tensor("y").values[i]).epsilon(1e-5));
  }
}

TEST_CASE("a layer of somebody else's is served through the wrapper and falls back to its own function") {
  struct Theirs {
    void go(const Tensor& x, Tensor& y) { y.values[0] = -x.values[0]; }
  };
  TestEnvironment env;
  env.add("twice");
  Theirs theirs;
  const auto wrapped = replace_kernel_forward_from_hub(theirs, "Scale", &Theirs::go);
  CHECK(outputs(wrapped)[0] == -1);
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  CHECK(outputs(wrapped) == std::vector<float>{2, 4, 6});
}

TEST_CASE("workspace is as large as the kernel asked for, for every layout") {
  TestEnvironment env;
  env.add("workspace");
  const use_kernel_mapping scope(scale_from("fakes/workspace"));
  const Scale layer;
  for (std::size_t n = 1; n < 200; n = n * 3 + 1) {
    const Tensor x(std::vector<float>(n, 2.f));
    Tensor y(std::vector<float>(n, 0.f));
    layer(x, y);
    CHECK(y.values == std::vector<float>(n, 4.f));
  }
}
