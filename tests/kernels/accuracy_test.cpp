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
  for (const BuiltLibrary& library : open_built_plugins(LAYERHUB_PLUGIN_ROOT, kDLCPU)) {
    for (const lh_kernel* kernel : library.kernels) {
      if (library.missing.empty() && sdk::view(kernel->layer) == layer) {
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

// Holds constant rows of float32 to wanted(norm, constant), within allowed(of what is wanted).
template <class Wanted, class Allowed>
void check_constant_rows(std::string_view layer, Wanted&& wanted, Allowed&& allowed) {
  for_each_kernel_of(layer, [&](const lh_kernel& kernel) {
    for (const std::int64_t width : {7, 577, 4096, 65536, 1 << 20}) {
      const DenseKernel norm(kernel, sdk::f32, width, width);
      for (const float constant : {1.1f, 3.3f, 100.1f, -1000.1f}) {
        const std::vector<float> x(static_cast<std::size_t>(width), constant);
        std::vector<float> y(x.size());
        norm(1, {x.data()}, {y.data()});
        const std::vector<double> want = wanted(norm, static_cast<double>(constant));
        for (std::size_t i = 0; i < y.size(); ++i) {
          const double off = std::abs(static_cast<double>(y[i]) - want[i]);
          if (!(off <= allowed(want[i]))) FAIL(constant << " x " << width << ": off by " << off << " at " << i);
        }
      }
    }
  });
}

TEST_CASE("LayerNorm of a constant row of float32 is its bias, however wide the row") {
  check_constant_rows(
      "LayerNorm", [](const DenseKernel& norm, double) { return norm.param(1); }, [](double) { return 1e-5; });
}

TEST_CASE("RMSNorm of a constant row of float32 is its weight, however wide the row") {
  const auto wanted = [](const DenseKernel& norm, double constant) {
    std::vector<double> scaled = norm.param(0);
    const double unit = constant / std::sqrt(constant * constant + norm.attribute("variance_epsilon"));
    for (double& weight : scaled) weight *= unit;
    return scaled;
  };
  check_constant_rows("RMSNorm", wanted, [](double want) { return 1e-5 * std::abs(want); });
}

}  // namespace
}  // namespace layerhub::testing
