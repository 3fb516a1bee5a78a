// SPDX-License-Identifier: Apache-2.0
#include "reference_check.hpp"

#include "support/built_plugins.hpp"
#include "support/known_layers.hpp"
#include "support/tolerance.hpp"

#include <layerhub/sdk/call.hpp>

#include <algorithm>

namespace layerhub::bench {

std::vector<std::int64_t> some_of(std::int64_t n, std::int64_t most) {
  std::vector<std::int64_t> picked;
  const std::int64_t count = std::min(n, most);
  for (std::int64_t i = 0; i < count; ++i) {
    picked.push_back(count == 1 ? 0 : i * (n - 1) / (count - 1));
  }
  return picked;
}

std::string difference_in(const Sample& sample, const std::string& library, const char* layer, DLDataType dtype) {
  const testing::BuiltLibrary opened = testing::open_built_library(library);
  const auto kernel = std::find_if(opened.kernels.begin(), opened.kernels.end(),
                                   [&](const lh_kernel* k) { return sdk::view(k->layer) == layer; });
  const testing::KnownLayer* known = testing::find_known_layer(layer);
  if (kernel == opened.kernels.end() || known == nullptr) {
    throw std::runtime_error(library + ": has no kernel of `" + layer + "` to hold to a reference; build it anew");
  }
  sdk::ReferenceCall wanted = sample.given;
  for (const auto& [name, got] : sample.got) {
    wanted.tensors[name] = {got.shape, std::vector<double>(got.values.size())};
  }
  known->reference(wanted);
  for (const auto& [name, got] : sample.got) {
    const std::string off =
        testing::difference(got.values, wanted.tensor(name).values, testing::tolerance_for(**kernel, dtype));
    if (!off.empty()) {
      return name + off;
    }
  }
  return {};
}

}  // namespace layerhub::bench
