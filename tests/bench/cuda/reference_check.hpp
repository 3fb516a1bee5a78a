// SPDX-License-Identifier: Apache-2.0
// Whether what a kernel on the card has computed is right: some rows of it against the layer's reference in double
// precision, within the tolerance that the kernel declares. All rows would take the host minutes at the sizes that are
// measured; every kernel has been held to all of smaller tensors before (tests/bench/gpu).
#pragma once

#include <layerhub/layerhub.hpp>
#include <layerhub/sdk/reference.hpp>

#include <layerhub/abi.h>

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace layerhub::bench {

// A call that is part of another: its inputs, params and numbers, and what the card found for its outputs.
struct Sample {
  sdk::ReferenceCall given;
  std::map<std::string, sdk::RealTensor> got;
};

// Up to `most` of n indices: the first, the last, and others at even distances.
std::vector<std::int64_t> some_of(std::int64_t n, std::int64_t most = 16);

// "" or the first number that is too far from the reference. library, layer: where the kernel is that served; dtype: of
// its first input.
std::string difference_in(const Sample& sample, const std::string& library, const char* layer, DLDataType dtype);

template <class Layer>
std::string difference_in(const Sample& sample, const Layer& layer, const char* name, DLDataType dtype) {
  const std::optional<BindingInfo> serving = binding_of(layer, Device::cuda());
  if (!serving) {
    throw std::runtime_error(std::string(name) + ": no kernel serves it; `layerhub explain` says why");
  }
  return difference_in(sample, serving->library, name, dtype);
}

}  // namespace layerhub::bench
