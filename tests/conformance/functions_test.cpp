// SPDX-License-Identifier: Apache-2.0
// Free functions as layers, and functions that a plugin provides beside its layers.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

namespace {

void scale(const Tensor&, Tensor& y) { y.values = own_outputs; }

using MarkedScale = use_kernel_func_from_hub<&scale, "Scale">;

struct Model {
  MarkedScale function;
  void visit_layers(auto&& visit) { visit(function); }
};

Mapping add_one_as(const char* layer) {
  return {{layer, {{"cpu", LayerRepository{"fakes/function", "add_one", "v1"}}}}};
}

}  // namespace

TEST_CASE("a marked function is a layer: it runs itself until it is mapped") {
  TestEnvironment env;
  env.add("twice");
  const MarkedScale function;
  CHECK(MarkedScale::hub_layer_name == "Scale");
  CHECK(outputs(function) == own_outputs);
  CHECK_THAT(explain(function), Contains("layer `Scale`"));
}

TEST_CASE("a function is replaced by a layer of a repository") {
  TestEnvironment env;
  env.add("twice");
  const MarkedScale function;
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  CHECK(outputs(function) == std::vector<float>{2, 4, 6});
}

TEST_CASE("a function is replaced by a function of a repository, and so is a layer") {
  TestEnvironment env;
  env.add("function");
  const use_kernel_mapping scope(add_one_as("Scale"));
  CHECK(outputs(MarkedScale()) == std::vector<float>{2, 3, 4});
  CHECK(outputs(Scale()) == std::vector<float>{2, 3, 4});
}

TEST_CASE("a function reverts to itself with an empty mapping") {
  TestEnvironment env;
  env.add("twice");
  const MarkedScale function;
  {
    const use_kernel_mapping scope(scale_from("fakes/twice"));
    kernelize(function);
  }
  CHECK(outputs(function)[0] == 2);
  const use_kernel_mapping empty(Mapping{}, false);
  kernelize(function);
  CHECK(outputs(function) == own_outputs);
}

TEST_CASE("kernelizing one model does not change the function for others") {
  TestEnvironment env;
  env.add("twice");
  Model one, other;
  const MarkedScale global;
  {
    const use_kernel_mapping scope(scale_from("fakes/twice"));
    CHECK(kernelize(one).kernels() == 1);
  }
  CHECK(outputs(one.function)[0] == 2);
  CHECK(outputs(other.function) == own_outputs);
  CHECK(outputs(global) == own_outputs);
}

TEST_CASE("a function that is not marked is refused when the host is compiled") {
  STATIC_REQUIRE(Kernelizable<MarkedScale>);
  STATIC_REQUIRE(Kernelizable<Model>);
  STATIC_REQUIRE_FALSE(Kernelizable<decltype(scale)>);
  STATIC_REQUIRE_FALSE(Kernelizable<decltype(&scale)>);
}

TEST_CASE("functions beside layers are found by name and called without a layer") {
  TestEnvironment env;
  env.add("function");
  const LayerRepository repository{"fakes/function", "add_one", "v1"};
  const auto add_one = get_kernel<void(const Tensor&, Tensor&)>(repository);
  CHECK(outputs(add_one) == std::vector<float>{2, 3, 4});
  CHECK_THAT(error_of([&] {
               Tensor x({1, 2}), y({1.f});
               add_one(x, y);
             }),
             Contains("differ in shape"));
}

TEST_CASE("a kernel function is taken from a local repository by its root, its build folder and a variant's folder") {
  TestEnvironment env;
  const boost::filesystem::path variant = env.add("function");
  for (const auto& path : {variant, variant.parent_path(), variant.parent_path().parent_path()}) {
    INFO(path.string());
    const auto add_one = get_kernel<void(const Tensor&, Tensor&)>(LocalLayerRepository{path.string(), "add_one"});
    CHECK(outputs(add_one) == std::vector<float>{2, 3, 4});
  }
}

TEST_CASE("has_kernel is true for what get_kernel would find, and false for an unknown name, version or repository") {
  TestEnvironment env;
  env.add("function");
  CHECK(has_kernel(LayerRepository{"fakes/function", "add_one", "v1"}));
  CHECK(has_kernel(LayerRepository{.repo_id = "fakes/function", .layer_name = "add_one", .version = 1}));
  CHECK_FALSE(has_kernel(LayerRepository{"fakes/function", "add_two", "v1"}));
  CHECK_FALSE(has_kernel(LayerRepository{"fakes/function", "add_one", "v2"}));
  CHECK_FALSE(has_kernel(LayerRepository{"fakes/nothing", "add_one", "v1"}));
  CHECK_FALSE(has_kernel(LayerRepository{"fakes/function", "add_one", "v1"}, Device::cuda()));
  CHECK_THROWS_AS(has_kernel(LayerRepository{.repo_id = "fakes/function", .layer_name = "add_one"}), Error);
}
