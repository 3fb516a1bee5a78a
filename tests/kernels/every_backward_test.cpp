// SPDX-License-Identifier: Apache-2.0
// Each kernel that trains, of each built library, against finite differences of its layer's reference.
#include "support/catch.hpp"
#include "support/kernel_checks.hpp"

#include <layerhub/sdk/call.hpp>

#include <set>

namespace layerhub::testing {
namespace {

TEST_CASE("every kernel that trains gives the gradients that finite differences of its layer's reference give") {
  check_gradients(open_built_plugins(LAYERHUB_PLUGIN_ROOT));
}

TEST_CASE("every activation, norm and matrix product trains") {
  std::set<std::string> training;
  for (const BuiltLibrary& library : open_built_plugins(LAYERHUB_PLUGIN_ROOT)) {
    for (const lh_kernel* kernel : library.kernels) {
      if (kernel->backward != nullptr) {
        training.emplace(sdk::view(kernel->layer));
      }
    }
  }
  for (const char* layer : {"SiluAndMul", "GeluAndMul", "GeluTanhAndMul", "MulAndSilu", "Silu", "Gelu", "GeluTanh",
                            "FastGELU", "NewGELU", "QuickGELU", "ReLU", "RMSNorm", "LayerNorm", "Linear"}) {
    CHECK(training.count(layer) == 1);
  }
}

}  // namespace
}  // namespace layerhub::testing
