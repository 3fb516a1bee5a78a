// SPDX-License-Identifier: Apache-2.0
// Prepared calls: the constraints are checked once, and again only when something changed.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

using namespace layerhub;
using namespace layerhub::testing;

TEST_CASE("a prepared call does what the layer's call does") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  Tensor x({1, 2, 3}), y({0, 0, 0});
  auto step = prepare(layer, x, y);
  step();
  CHECK(y.values == own_outputs);
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  step();
  CHECK(y.values == std::vector<float>{2, 4, 6});
  x.values[0] = 5;
  step();
  CHECK(y.values[0] == 10);
}

TEST_CASE("a prepared call notices that its layer was bound anew, and a scope that ended") {
  TestEnvironment env;
  env.add("twice");
  env.add("thrice");
  Scale layer;
  Tensor x({1, 2, 3}), y({0, 0, 0});
  auto step = prepare(layer, x, y);
  {
    const use_kernel_mapping scope(scale_from("fakes/twice"));
    step();
    CHECK(y.values[0] == 2);
    const use_kernel_mapping inner(scale_from("fakes/thrice"));
    step();
    CHECK(y.values[0] == 3);
    kernelize(layer);
  }
  step();
  CHECK(y.values[0] == 3);
  unkernelize(layer);
  step();
  CHECK(y.values == own_outputs);
}

TEST_CASE("scalars of a prepared call are read at each call") {
  struct Ordered : use_kernel_forward_from_hub<Ordered, "Ordered"> {
    void forward(Tensor&, const Tensor&, std::int64_t, Tensor&, float, const Tensor*) const {}
  };
  TestEnvironment env;
  env.add("ordered");
  const use_kernel_mapping scope(Mapping{{"Ordered", {{"cpu", LayerRepository{"fakes/ordered", "Ordered", "v1"}}}}});
  const Ordered layer;
  Tensor memory({10.f}), y({0, 0});
  const Tensor x({1, 2});
  const Tensor* offset = nullptr;
  std::int64_t position = 3;
  float factor = 0.5f;
  auto step = prepare(layer, memory, x, position, y, factor, offset);
  step();
  CHECK(y.values == std::vector<float>{31.5, 32.5});
  position = 1, factor = 0;
  step();
  CHECK(y.values == std::vector<float>{12, 13});
  CHECK(memory.values[0] == 12);
}

TEST_CASE("a prepared call whose tensors a kernel does not take runs the own forward, until they are refreshed") {
  TestEnvironment env;
  env.add("strict");
  const Scale layer;
  alignas(16) float memory[4] = {};
  std::int64_t shape[] = {1, 4}, strides[] = {4, 1};
  DLTensor x{memory, {kDLCPU, 0}, 1, {kDLFloat, 32, 1}, shape + 1, strides + 1, 0}, y = x;
  struct Own : use_kernel_forward_from_hub<Own, "Scale"> {
    mutable int calls = 0;
    void forward(const DLTensor&, DLTensor&) const { ++calls; }
  } own;
  const use_kernel_mapping scope(scale_from("fakes/strict"));
  auto step = prepare(own, x, y);
  for (int i = 0; i < 3; ++i) step();
  CHECK(own.calls == 3);  // of rank 1, which the fake does not take
  CHECK(binding_of(own)->refused > 0);
  x.ndim = y.ndim = 2;
  x.shape = y.shape = shape;
  x.strides = y.strides = strides;
  step.refresh();
  step();
  CHECK(own.calls == 3);
}

TEST_CASE("a replaced layer and a marked function can be prepared too") {
  struct Theirs {
    void go(const Tensor& x, Tensor& y) { y.values[0] = -x.values[0]; }
  };
  TestEnvironment env;
  env.add("twice");
  Theirs theirs;
  const auto wrapped = replace_kernel_forward_from_hub(theirs, "Scale", &Theirs::go);
  Tensor x({1.f}), y({0.f});
  auto step = prepare(wrapped, x, y);
  step();
  CHECK(y.values[0] == -1);
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  step();
  CHECK(y.values[0] == 2);
}
