// SPDX-License-Identifier: Apache-2.0
// What tolerances of drawn values can't say, at every level: far below zero silu is tiny, and an absolute tolerance
// takes any value there; no drawn row is constant, and none is a million elements wide.
#include "support/built_plugins.hpp"
#include "support/catch.hpp"
#include "support/dense_kernel.hpp"
#include "support/thread_host.hpp"

#include <layerhub/sdk/call.hpp>
#include <layerhub/sdk/dtype.hpp>

#include <cmath>
#include <string_view>
#include <vector>

namespace layerhub::testing {
namespace {

// Calls check(kernel) with each kernel of the layer that can run here.
template <class Check>
void for_each_kernel_of(std::string_view layer, Check&& check) {
  ThreadHost::instance().set_width(1);
  int kernels = 0;
  for (const BuiltLibrary& library : open_built_plugins(LAYERHUB_PLUGIN_ROOT)) {
    for (const lh_kernel* kernel : library.kernels) {
      if (library.missing.empty() && kernel->device_type == kDLCPU && sdk::view(kernel->layer) == layer) {
        INFO(library.name);
        check(*kernel);
        ++kernels;
      }
    }
  }
  CHECK(kernels > 0);
}

TEST_CASE("silu of float32 keeps its digits wherever the sigmoid is a normal number") {
  std::vector<float> x;
  for (float value = -87; value <= 100; value += 0.0007f) {
    if (value != 0) x.push_back(value);
  }
  for_each_kernel_of("Silu", [&](const lh_kernel& kernel) {
    std::vector<float> y(x.size());
    const auto width = static_cast<std::int64_t>(x.size());
    DenseKernel(kernel, sdk::f32, width, width)(1, {x.data()}, {y.data()});
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto exact = static_cast<double>(x[i]) / (1 + std::exp(-static_cast<double>(x[i])));
      const double off = std::abs(static_cast<double>(y[i]) / exact - 1);
      if (!(off <= 5e-7)) FAIL("of " << x[i] << " it is off by " << off);
    }
  });
}

constexpr float constants[] = {1.1f, 3.3f, 100.1f, -1000.1f};
constexpr std::int64_t widths[] = {7, 577, 4096, 65536, 1 << 20};

TEST_CASE("LayerNorm of a constant row of float32 is its bias, however wide the row") {
  for_each_kernel_of("LayerNorm", [&](const lh_kernel& kernel) {
    for (const std::int64_t width : widths) {
      const DenseKernel norm(kernel, sdk::f32, width, width);
      const std::vector<double> bias = norm.param(1);
      for (const float constant : constants) {
        const std::vector<float> x(static_cast<std::size_t>(width), constant);
        std::vector<float> y(x.size());
        norm(1, {x.data()}, {y.data()});
        for (std::size_t i = 0; i < y.size(); ++i) {
          const double off = std::abs(static_cast<double>(y[i]) - bias[i]);
          if (!(off <= 1e-5)) FAIL(constant << " x " << width << ": off by " << off << " at " << i);
        }
      }
    }
  });
}

TEST_CASE("RMSNorm of a constant row of float32 is its weight, however wide the row") {
  for_each_kernel_of("RMSNorm", [&](const lh_kernel& kernel) {
    for (const std::int64_t width : widths) {
      const DenseKernel norm(kernel, sdk::f32, width, width);
      const std::vector<double> weight = norm.param(0);
      for (const float constant : constants) {
        const std::vector<float> x(static_cast<std::size_t>(width), constant);
        std::vector<float> y(x.size());
        norm(1, {x.data()}, {y.data()});
        const auto exact = static_cast<double>(constant);
        const double unit = exact / std::sqrt(exact * exact + norm.attribute("variance_epsilon"));
        for (std::size_t i = 0; i < y.size(); ++i) {
          const double off = std::abs(static_cast<double>(y[i]) - unit * weight[i]);
          if (!(off <= 1e-5 * std::abs(weight[i]))) FAIL(constant << " x " << width << ": off by " << off);
        }
      }
    }
  });
}

}  // namespace
}  // namespace layerhub::testing
