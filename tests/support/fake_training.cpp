// SPDX-License-Identifier: Apache-2.0
// Plugins for modes and training, as fake_plugin.cpp is for loading: fakes.cmake compiles this file once for each row.
// The layer is Scale: y = 2 x, and where there is a weight y = weight x.
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>

#include <vector>

namespace {

using namespace layerhub::sdk;

#if defined(FAKE_CAPTURE)
constexpr std::uint32_t capture_trait = LH_TRAIT_CAPTURE_SAFE;
#else
constexpr std::uint32_t capture_trait = 0;
#endif
#if defined(FAKE_RANDOM)
constexpr std::uint32_t determinism = 0;
#else
constexpr std::uint32_t determinism = LH_TRAIT_DETERMINISTIC;
#endif

template <class Value>
void fill(const DLTensor& y, Value&& value) {
  for (std::int64_t i = 0; i < element_count(y); ++i) {
    data<float>(y)[i] = value(i);
  }
}

#if defined(FAKE_WEIGHT)
struct Scale {
  static constexpr std::string_view name = "Scale";
  static constexpr std::array arguments{input("x"), param("weight"), output("y")};
  static constexpr std::array constraints{dtype_in("x", f32), dtype_in("weight", f32), same_shape("y", "x"),
                                          same_shape("weight", "x")};
};
// Packs its weight, so that a change that it is not told of shows.
class ScaleKernel {
 public:
  static constexpr std::uint32_t traits = determinism;
  explicit ScaleKernel(const CreateArgs& args) { read(args); }
#if defined(FAKE_UPDATES)
  void update_params(const CreateArgs& args) { read(args); }
#endif
  void forward(const lh_call& call) const {
    fill(*call.out[0], [&](std::int64_t i) { return weight_[static_cast<std::size_t>(i)] * x(call, i); });
  }
  void backward(const lh_call& call) const {
    const float* grad_y = data<float>(*call.grad_out[0]);
    if (call.grad_in[0] != nullptr) {
      fill(*call.grad_in[0], [&](std::int64_t i) { return weight_[static_cast<std::size_t>(i)] * grad_y[i]; });
    }
    if (call.grad_in[1] != nullptr) {
      fill(*call.grad_in[1], [&](std::int64_t i) { return x(call, i) * grad_y[i]; });
    }
  }

 private:
  void read(const CreateArgs& args) {
    const DLTensor& weight = *args.param("weight");
    weight_.assign(data<float>(weight), data<float>(weight) + element_count(weight));
  }
  static float x(const lh_call& call, std::int64_t i) { return data<float>(*call.in[0])[i]; }

  std::vector<float> weight_;
};
#elif defined(FAKE_SAVES)
struct Scale {
  static constexpr std::string_view name = "Scale";
  static constexpr std::array arguments{input("x"), saved("kept"), output("y")};
  static constexpr std::array constraints{dtype_in("x", f32), dtype_in("y", f32), same_shape("y", "x")};
};
// Its backward needs what forward saved, and a workspace.
struct ScaleKernel {
  static constexpr std::uint32_t traits = determinism | LH_TRAIT_NO_WORKSPACE;
  static void infer(InferCall& call) {
    call.saved[0] = call.in[0];
    call.backward_workspace = 256;
  }
  static void forward(const lh_call& call) {
    fill(*call.out[0], [&](std::int64_t i) { return 2 * data<float>(*call.in[0])[i]; });
    if ((call.mode & LH_MODE_TRAINING) != 0) {
      fill(*call.saved[0], [&](std::int64_t i) { return data<float>(*call.in[0])[i]; });
    }
  }
  static void backward(const lh_call& call) {
    if (call.workspace_size < 256) {
      throw Failure(LH_INTERNAL, "the workspace of backward is too small");
    }
    fill(*call.grad_in[0], [&](std::int64_t i) {
      return data<float>(*call.saved[0])[i] * 100 + 2 * data<float>(*call.grad_out[0])[i];
    });
  }
};
#else
struct Scale {
  static constexpr std::string_view name = "Scale";
  static constexpr std::array arguments{input("x"), output("y")};
  static constexpr std::array constraints{dtype_in("x", f32), dtype_in("y", f32), same_shape("y", "x")};
};
struct ScaleKernel {
  static constexpr std::uint32_t traits = determinism | capture_trait;
  static void forward(const lh_call& call) {
    fill(*call.out[0], [&](std::int64_t i) { return FAKE_FACTOR * data<float>(*call.in[0])[i]; });
  }
#if defined(FAKE_BACKWARD_FAILS)
  static void backward(const lh_call&) { throw Failure(LH_INTERNAL, "no way back"); }
#elif defined(FAKE_BACKWARD)
  static void backward(const lh_call& call) {
    fill(*call.grad_in[0], [&](std::int64_t i) { return FAKE_FACTOR * data<float>(*call.grad_out[0])[i]; });
  }
#endif
};
#endif
LAYERHUB_KERNEL(ScaleKernel, Scale, "fake");

}  // namespace
