// SPDX-License-Identifier: Apache-2.0
// Why a layer runs what it runs: every step of the decision that was reached, each refusal with its reason.
#pragma once

#include <layerhub/detail/call.hpp>
#include <layerhub/device.hpp>
#include <layerhub/export.hpp>
#include <layerhub/mapping.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace layerhub {

// The kernel that serves a layer.
struct BindingInfo {
  std::string repo_id;   // "layerhub/norm"; the path of a local repository that names none
  std::string revision;  // "v1"
  std::string kernel;    // the implementation: "vector"
  Device device;
  std::string library;         // the file that was opened
  std::uint64_t declined = 0;  // calls that ran the own forward since the kernel returned LH_DECLINED
  std::uint64_t refused = 0;   // calls that ran the own forward since a declared constraint did not hold
  bool owns_params = false;    // it has copied the layer's params: while it serves, nobody reads the host's own
};

// What a call would find: on a device, in a mode, with tensors of these shapes.
struct ExplainOptions {
  Device device = Device::cpu();
  Mode mode = Mode::inference;
  // The inputs and then the outputs and states, in the order of forward; dense. Empty: shapes are not looked at.
  struct TensorShape {
    std::vector<std::int64_t> shape;
    DLDataType dtype{kDLFloat, 32, 1};
  };
  std::vector<TensorShape> tensors{};
};

namespace detail {
LAYERHUB_API std::string explain_layer(const LayerRef& layer);
LAYERHUB_API std::string explain_layer_json(const LayerRef& layer);
LAYERHUB_API std::string explain_call(const LayerRef& layer, const ExplainOptions& options, bool as_json);
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

// What would serve a call under the mapping in force, and every candidate in the plugin directories with the rule that
// accepted or refused it. Nothing is bound; the library of the kernel that would serve is opened, since the constraints
// that shapes are held against are in it.
template <class Layer>
std::string explain(const Layer& layer, const ExplainOptions& options) {
  return detail::explain_call(layer.layer_ref(), options, false);
}
// {"layer", "device", "mode", "served_by", "steps": [...], "candidates": [{"plugin", "library", "kernel", "accepted",
// "rule", "text"}]}
template <class Layer>
std::string explain_json(const Layer& layer, const ExplainOptions& options) {
  return detail::explain_call(layer.layer_ref(), options, true);
}

// What serves the layer on a device for calls of this thread; nothing: its own forward, or it has not been bound yet.
template <class Layer>
std::optional<BindingInfo> binding_of(const Layer& layer, Device device = Device::cpu()) {
  return detail::binding_of_layer(layer.layer_ref(), device);
}

}  // namespace layerhub
