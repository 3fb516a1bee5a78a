// SPDX-License-Identifier: Apache-2.0
// Training: forward and backward through one binding, gradients, and weights that change between steps.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

using namespace layerhub;
using namespace layerhub::testing;
using Catch::Matchers::Contains;

namespace {

// x 1, 2, 3 forward, and back with the gradient 10, 20, 30.
template <class Layer, class... More>
std::vector<float> gradients(const Layer& layer, Saved& saved, More&&... more) {
  const Tensor grad_y({10, 20, 30});
  Tensor grad_x({-1, -1, -1});
  layer.backward(saved, grad_y, grad_x, more...);
  return grad_x.values;
}

template <class Layer>
std::vector<float> gradients(const Layer& layer) {
  const Tensor x({1, 2, 3});
  Tensor y({0, 0, 0});
  Saved saved;
  layer(saved, x, y);
  return gradients(layer, saved);
}

struct OwnBackward : use_kernel_forward_from_hub<OwnBackward, "Scale"> {
  void forward(const Tensor&, Tensor& y) const { y.values = own_outputs; }
  void own_backward(const Saved& saved, const Tensor& grad_y, Tensor& grad_x) const {
    for (std::size_t i = 0; i < grad_y.values.size(); ++i) {
      grad_x.values[i] = 1000 * grad_y.values[i] + static_cast<const float*>(saved.input(0).data)[i];
    }
  }
};

struct Weighted : use_kernel_forward_from_hub<Weighted, "Scale"> {
  Tensor weight{{1, 10, 100}};
  auto hub_members() const { return members(param("weight", weight)); }
  void forward(const Tensor&, Tensor& y) const { y.values = own_outputs; }
};

}  // namespace

TEST_CASE("backward runs in the kernel that ran forward") {
  TestEnvironment env;
  env.add("trains");
  const Scale layer;
  const use_kernel_mapping scope(scale_from("fakes/trains"));
  CHECK(gradients(layer) == std::vector<float>{20, 40, 60});
}

TEST_CASE("a layer that is kernelized for training runs both through that binding, under every mapping") {
  TestEnvironment env;
  env.add("trains");
  const Scale layer;
  {
    const use_kernel_mapping scope(scale_from("fakes/trains"));
    kernelize(layer, {.mode = Mode::training});
  }
  CHECK(gradients(layer) == std::vector<float>{20, 40, 60});
  CHECK(outputs(layer)[0] == 2);
}

TEST_CASE("backward runs in the revision that ran forward, whatever is bound in between") {
  TestEnvironment env;
  env.add("trains");
  env.add("trains_v2");
  const Scale layer;
  const Tensor x({1, 2, 3});
  Tensor y({0, 0, 0});
  Saved saved;
  {
    const use_kernel_mapping scope(scale_from("fakes/trains"));
    layer(saved, x, y);
  }
  const use_kernel_mapping scope(scale_from("fakes/trains", "v2"));
  kernelize(layer, {.mode = Mode::training});
  CHECK(gradients(layer, saved) == std::vector<float>{20, 40, 60});
  CHECK(gradients(layer) == std::vector<float>{200, 400, 600});
}

TEST_CASE("training falls back to the own forward and backward where the kernel has no backward") {
  TestEnvironment env;
  env.add("twice");
  const OwnBackward layer;
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  CHECK(outputs(layer)[0] == 2);
  CHECK(gradients(layer) == std::vector<float>{10001, 20002, 30003});
  CHECK_THAT(explain(layer), Contains("does not support mode: training"));
}

TEST_CASE("training is an error where nothing may fall back and the kernel has no backward") {
  TestEnvironment env;
  env.add("twice");
  const OwnBackward layer;
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  const use_call_options strict({.fallback = Fallback::never});
  CHECK_THAT(error_of([&] { gradients(layer); }), Contains("Available kernel does not support mode: training"));
}

TEST_CASE("backward without a kernel or one of the layer's own is an error that says why") {
  TestEnvironment env;
  env.add("twice");
  const Scale layer;
  const use_kernel_mapping scope(scale_from("fakes/twice"));
  CHECK_THAT(error_of([&] { gradients(layer); }), Contains("own_backward") && Contains("does not support mode"));
}

TEST_CASE("backward before a forward is an error") {
  const Scale layer;
  Saved saved;
  CHECK_THAT(error_of([&] { gradients(layer, saved); }), Contains("no forward before it"));
  CHECK_THROWS_AS(saved.input(0), Error);
}

TEST_CASE("backward refuses what another layer's forward saved") {
  TestEnvironment env;
  env.add("trains");
  const Scale layer, other;
  const use_kernel_mapping scope(scale_from("fakes/trains"));
  const Tensor x({1, 2, 3});
  Tensor y({0, 0, 0});
  Saved saved;
  layer(saved, x, y);
  CHECK_THAT(error_of([&] { gradients(other, saved); }), Contains("another layer's forward"));
  CHECK(gradients(layer, saved) == std::vector<float>{20, 40, 60});
}

TEST_CASE("backward finds what forward saved, also when one Saved serves again with another shape") {
  TestEnvironment env;
  env.add("saves");
  const Scale layer;
  const use_kernel_mapping scope(scale_from("fakes/saves"));
  CHECK(outputs(layer)[0] == 2);
  Saved saved;
  for (const std::size_t n : {3u, 1000u, 2u}) {
    const Tensor x(std::vector<float>(n, 7)), grad_y(std::vector<float>(n, 1));
    Tensor y(std::vector<float>(n, 0)), grad_x(std::vector<float>(n, 0));
    layer(saved, x, y);
    layer.backward(saved, grad_y, grad_x);
    CHECK(grad_x.values == std::vector<float>(n, 702));
  }
}

TEST_CASE("gradients of params are asked for by name, and those that are not wanted are not written") {
  TestEnvironment env;
  env.add("updated_weight");
  const Weighted layer;
  const use_kernel_mapping scope(scale_from("fakes/updated-weight"));
  const Tensor x({1, 2, 3}), grad_y({10, 20, 30});
  Tensor y({0, 0, 0}), grad_x({-1, -1, -1}), grad_w({-1, -1, -1});
  Saved saved;
  layer(saved, x, y);
  CHECK(y.values == std::vector<float>{1, 20, 300});
  layer.backward(saved, grad_y, nullptr, param_gradient("weight", grad_w));
  CHECK(grad_w.values == std::vector<float>{10, 40, 90});
  CHECK(grad_x.values == std::vector<float>{-1, -1, -1});
  layer.backward(saved, grad_y, grad_x);
  CHECK(grad_x.values == std::vector<float>{10, 200, 3000});
}

TEST_CASE("weights that changed in place are read again, by the instance or by a new one") {
  for (const std::string fake : {"updated_weight", "weight"}) {
    TestEnvironment env;
    env.add(fake);
    Weighted layer;
    const use_kernel_mapping scope(scale_from(fake == "weight" ? "fakes/weight" : "fakes/updated-weight"));
    kernelize(layer, {.mode = Mode::training});
    CHECK(outputs(layer) == std::vector<float>{1, 20, 300});
    layer.weight.values = {5, 5, 5};
    update_params(layer);
    CHECK(outputs(layer) == std::vector<float>{5, 10, 15});
    CHECK(binding_of(layer)->kernel == "fake");
  }
}

TEST_CASE("a gradient that does not fit is refused by what it belongs to") {
  TestEnvironment env;
  env.add("updated_weight");
  const Weighted layer;
  const use_kernel_mapping scope(scale_from("fakes/updated-weight"));
  const Tensor x({1, 2, 3}), grad_y({10, 20, 30}), shorter({1, 2});
  Tensor y({0, 0, 0}), grad_x({0, 0, 0}), strided({0, 0, 0, 0, 0, 0}, {3}), short_x({0, 0});
  strided.strides = {2};
  Saved saved;
  layer(saved, x, y);
  const auto error = [&](auto&&... arguments) { return error_of([&] { layer.backward(saved, arguments...); }); };
  CHECK_THAT(error(shorter, grad_x), Contains("the gradient of output 0 is not of the shape"));
  CHECK_THAT(error(grad_y, short_x), Contains("the gradient of input 0 is not of the shape"));
  CHECK_THAT(error(grad_y, strided), Contains("the gradient of input 0 is not dense"));
  CHECK_THAT(error(nullptr, grad_x), Contains("output 0 is missing"));
  CHECK_THAT(error(grad_y, grad_x, grad_x), Contains("more than 1 gradients of inputs"));
  CHECK_THAT(error(grad_y, nullptr, param_gradient("bias", grad_x)), Contains("`bias`"));
  CHECK_THAT(error(grad_y, const_cast<Tensor&>(x)), Contains("overlaps"));
}

TEST_CASE("a backward that fails is an error with the plugin's text, and the layer goes on") {
  TestEnvironment env;
  env.add("backward_fails");
  const Scale layer;
  const use_kernel_mapping scope(scale_from("fakes/backward-fails"));
  CHECK_THAT(error_of([&] { gradients(layer); }), Contains("backward of kernel `fake`") && Contains("no way back"));
  CHECK(outputs(layer)[0] == 2);
}

TEST_CASE("a backward that fails names the tensors of its forward, also where they are gone and others were since") {
  TestEnvironment env;
  env.add("backward_fails");
  const Scale layer;
  const use_kernel_mapping scope(scale_from("fakes/backward-fails"));
  const Tensor x({1, 2, 3}), grad_y({1, 1, 1}), longer({1, 2, 3, 4});
  Tensor grad_x({0, 0, 0});
  Saved saved;
  {
    Tensor y({0, 0, 0});
    layer(saved, x, y);
  }
  Tensor longer_y({0, 0, 0, 0});
  layer(longer, longer_y);
  CHECK_THAT(error_of([&] { layer.backward(saved, grad_y, grad_x); }),
             Contains("no way back") && Contains("x float32[3] on cpu, y float32[3] on cpu"));
}
