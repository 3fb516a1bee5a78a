// SPDX-License-Identifier: Apache-2.0
// What a host's debug build checks beside: this file is compiled as one, with types that no other file of the program
// has, so that the calls of the two kinds stay apart.
#undef NDEBUG
#include "support/catch.hpp"
#include "support/test_environment.hpp"

using namespace layerhub;
using Catch::Matchers::Contains;
using layerhub::testing::error_of;
using layerhub::testing::scale_from;
using layerhub::testing::TestEnvironment;

namespace {

struct Floats {
  std::vector<float> values;
  std::vector<std::int64_t> shape{static_cast<std::int64_t>(values.size())};
};

DLTensor as_dltensor(const Floats& t) {
  return {const_cast<float*>(t.values.data()),       {kDLCPU, 0}, 1, {kDLFloat, 32, 1},
          const_cast<std::int64_t*>(t.shape.data()), nullptr,     0};
}

struct Scale : use_kernel_forward_from_hub<Scale, "Scale"> {
  Floats weight{{2, 2, 2}};
  double bias = 0.5;

  void forward(const Floats&, Floats& y) const { y.values.assign(3, 0); }
  auto hub_members() const { return members(param("weight", weight), attribute("bias", bias)); }
};

std::string error_of_call(const Scale& layer) {
  return error_of([&] {
    const Floats x{{1, 2, 3}};
    Floats y{{0, 0, 0}};
    layer(x, y);
  });
}

}  // namespace

TEST_CASE(
    "a debug build names the layer whose weight or attribute changed under its binding, until it is bound again") {
  TestEnvironment env;
  env.add("weighted");
  const use_kernel_mapping scope(scale_from("fakes/weighted"));
  Scale layer;
  CHECK(error_of_call(layer) == "no error");

  layer.bias = 0.25;
  CHECK_THAT(error_of_call(layer), Contains("layer `Scale`") && Contains("call layerhub::rebind(layer)"));
  rebind(layer);
  CHECK(error_of_call(layer) == "no error");

  layer.weight = Floats{{3, 3, 3}};
  CHECK_THAT(error_of_call(layer), Contains("call layerhub::rebind(layer)"));
  rebind(layer);
  CHECK(error_of_call(layer) == "no error");
}
