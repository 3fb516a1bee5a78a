// SPDX-License-Identifier: Apache-2.0
// Why a layer runs what it runs: every step of the decision that was reached, each refusal with its reason.
#pragma once

#include <layerhub/detail/call.hpp>
#include <layerhub/device.hpp>
#include <layerhub/export.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace layerhub {

// The kernel that serves a layer.
struct BindingInfo {
  std::string repo_id;   // "layerhub/norm"; the path of a local repository that names none
  std::string revision;  // "v1"
  std::string kernel;    // the implementation: "vector (x86-64-v4)"
  Device device;
  std::string library;         // the file that was opened
  std::uint64_t declined = 0;  // calls that ran the own forward since the kernel returned LH_DECLINED
  std::uint64_t refused = 0;   // calls that ran the own forward since a declared constraint did not hold
};

namespace detail {
LAYERHUB_API std::string explain_layer(const LayerRef& layer);
LAYERHUB_API std::string explain_layer_json(const LayerRef& layer);
LAYERHUB_API std::optional<BindingInfo> binding_of_layer(const LayerRef& layer, Device device);
}  // namespace detail

// Several lines for people. A layer that was never called or kernelized says so. [thread-safe]
template <class Layer>
std::string explain(const Layer& layer) {
  return detail::explain_layer(layer.layer_ref());
}

// The same as JSON: {"layer", "decisions": [{"device", "mode", "served_by", "steps": [{"rule", "outcome", "text"}]}]}.
template <class Layer>
std::string explain_json(const Layer& layer) {
  return detail::explain_layer_json(layer.layer_ref());
}

// What serves the layer on a device for calls of this thread; nothing: its own forward, or it has not been bound yet.
template <class Layer>
std::optional<BindingInfo> binding_of(const Layer& layer, Device device = Device::cpu()) {
  return detail::binding_of_layer(layer.layer_ref(), device);
}

}  // namespace layerhub
