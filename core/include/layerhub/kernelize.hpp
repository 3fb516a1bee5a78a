// SPDX-License-Identifier: Apache-2.0
// Binding a whole model ahead of time, and taking it back.
//
//   struct Model {
//     void visit_layers(auto&& visit) { visit(norm); visit(linear); ... }    // every marked layer, however nested
//   };
//   layerhub::kernelize(model, {.mode = Mode::inference, .device = Device::cpu()});
//
// kernelize looks every layer up in the mapping in force, makes all bindings and publishes them together: if one fails
// by the policy, none has changed. A kernelized layer no longer looks at the mapping on that device; kernelizing again
// swaps, unkernelize reverts. Other instances of a layer's class are untouched.
#pragma once

#include <layerhub/detail/call.hpp>
#include <layerhub/device.hpp>
#include <layerhub/error.hpp>
#include <layerhub/export.hpp>
#include <layerhub/mapping.hpp>
#include <layerhub/scope.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace layerhub {

struct KernelizeOptions {
  Mode mode = Mode::inference;
  Device device = Device::cpu();
  std::optional<Fallback> fallback{};
};

// What kernelize did, layer by layer in the order of the visit.
struct KernelizeReport {
  struct Layer {
    std::string name;
    bool kernel = false;    // false: its own forward
    std::string served_by;  // "layerhub/norm@v1: v4 on cpu", or the reason in one line
  };
  std::vector<Layer> layers;

  LAYERHUB_API std::size_t kernels() const;  // how many got a kernel
};

namespace detail {
LAYERHUB_API KernelizeReport kernelize_layers(const std::vector<LayerRef>& layers, const KernelizeOptions& options);
LAYERHUB_API void unkernelize_layers(const std::vector<LayerRef>& layers);

// A model with visit_layers, or one marked layer.
template <class Model>
std::vector<LayerRef> layers_of(Model& model) {
  std::vector<LayerRef> layers;
  if constexpr (requires { model.layer_ref(); }) {
    layers.push_back(model.layer_ref());
  } else {
    model.visit_layers([&](const auto& layer) { layers.push_back(layer.layer_ref()); });
  }
  return layers;
}
}  // namespace detail

// Throws Error as the policy says; then nothing has changed. Calls may be in flight: they end on what they began with.
// [thread-safe, but for two threads that kernelize the same layer]
template <class Model>
KernelizeReport kernelize(Model& model, const KernelizeOptions& options = {}) {
  return detail::kernelize_layers(detail::layers_of(model), options);
}

// Every layer back to call-time dispatch, and with an empty mapping to its own forward. Kernels give back what
// they made of the weights.
template <class Model>
void unkernelize(Model& model) {
  detail::unkernelize_layers(detail::layers_of(model));
}

namespace detail {
LAYERHUB_API void rebind_layers(const std::vector<LayerRef>& layers);
}

// After a weight's pointer or shape or an attribute changed: every binding of the layer is made anew, kernelized
// ones at once, the others at the next call. Throws Error as kernelize does.
template <class Model>
void rebind(Model& model) {
  detail::rebind_layers(detail::layers_of(model));
}

namespace detail {
LAYERHUB_API void update_layer_params(const std::vector<LayerRef>& layers);
}

// After weights changed in place, as by a step of an optimizer: kernels read them again, or are made anew where they
// can't. No call of these layers may be in flight. Throws Error(kernel_failed) with the plugin's text.
template <class Model>
void update_params(Model& model) {
  detail::update_layer_params(detail::layers_of(model));
}

}  // namespace layerhub
