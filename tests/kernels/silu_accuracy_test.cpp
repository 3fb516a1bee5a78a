// SPDX-License-Identifier: Apache-2.0
// What tolerances can't say: far below zero silu is tiny, and an absolute tolerance takes any value there.
#include "support/built_plugins.hpp"
#include "support/catch.hpp"
#include "support/thread_host.hpp"

#include <layerhub/sdk/call.hpp>
#include <layerhub/sdk/dtype.hpp>

#include <cmath>
#include <vector>

namespace layerhub::testing {
namespace {

// silu of x, by a kernel of one dense row.
std::vector<float> silu_by(const lh_kernel& kernel, std::vector<float> x) {
  std::vector<float> y(x.size());
  std::int64_t shape[] = {1, static_cast<std::int64_t>(x.size())}, strides[] = {shape[1], 1};
  const DLTensor from{x.data(), {kDLCPU, 0}, 2, sdk::f32, shape, strides, 0};
  DLTensor to{y.data(), {kDLCPU, 0}, 2, sdk::f32, shape, strides, 0};
  const DLTensor* in[] = {&from};
  DLTensor* out[] = {&to};
  lh_call call{};
  call.struct_size = sizeof call;
  call.host = ThreadHost::instance().host();
  call.in = in;
  call.out = out;
  call.n_in = call.n_out = 1;
  REQUIRE(kernel.forward(nullptr, &call, nullptr) == LH_OK);
  return y;
}

TEST_CASE("silu of float32 keeps its digits wherever the sigmoid is a normal number, at every level") {
  std::vector<float> x;
  for (float value = -87; value <= 100; value += 0.0007f) {
    if (value != 0) x.push_back(value);
  }
  int kernels = 0;
  for (const BuiltLibrary& library : open_built_plugins(LAYERHUB_PLUGIN_ROOT)) {
    for (const lh_kernel* kernel : library.kernels) {
      if (!library.missing.empty() || kernel->device_type != kDLCPU || sdk::view(kernel->layer) != "Silu") continue;
      ++kernels;
      const std::vector<float> y = silu_by(*kernel, x);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const auto exact = static_cast<double>(x[i]) / (1 + std::exp(-static_cast<double>(x[i])));
        const double off = std::abs(static_cast<double>(y[i]) / exact - 1);
        if (!(off <= 5e-7)) FAIL(library.name << ": of " << x[i] << " it is off by " << off);
      }
    }
  }
  CHECK(kernels > 0);
}

}  // namespace
}  // namespace layerhub::testing
