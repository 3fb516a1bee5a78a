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

#include <concepts>
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
    std::string served_by;  // "layerhub/norm@v1: opencl on opencl:0", or the reason in one line
  };
  std::vector<Layer> layers;

  LAYERHUB_API std::size_t kernels() const;  // how many got a kernel
};

namespace detail {
LAYERHUB_API KernelizeReport kernelize_layers(const std::vector<LayerRef>& layers, const KernelizeOptions& options);
LAYERHUB_API void unkernelize_layers(const std::vector<LayerRef>& layers);

struct CollectLayers {
  std::vector<LayerRef>& layers;
  void operator()(const auto& layer) const { layers.push_back(layer.layer_ref()); }
};

template <class Model>
concept MarkedLayer = requires(const Model& model) {
  { model.layer_ref() } -> std::same_as<LayerRef>;
};
template <class Model>
concept VisitsLayers = requires(Model& model, CollectLayers visit) {
  model.visit_layers(visit);
};
template <class Model>
concept HasVisitLayers = requires(Model& model, CollectLayers visit) {
  visit_layers(model, visit);
};
}  // namespace detail

// What can be kernelized: a marked layer or function, or a model that lends its layers, by a member or by a function
// beside it:
//   void visit_layers(Model& model, auto&& visit) { visit(model.norm); visit(model.linear); }
template <class Model>
concept Kernelizable = detail::MarkedLayer<Model> || detail::VisitsLayers<Model> || detail::HasVisitLayers<Model>;

namespace detail {
template <Kernelizable Model>
std::vector<LayerRef> layers_of(Model& model) {
  std::vector<LayerRef> layers;
  if constexpr (MarkedLayer<Model>) {
    layers.push_back(model.layer_ref());
  } else if constexpr (VisitsLayers<Model>) {
    model.visit_layers(CollectLayers{layers});
  } else {
    visit_layers(model, CollectLayers{layers});
  }
  return layers;
}
}  // namespace detail

// Throws Error as the policy says; then nothing has changed. Calls may be in flight: they end on what they began with.
// [thread-safe, but for two threads that kernelize the same layer]
template <Kernelizable Model>
KernelizeReport kernelize(Model& model, const KernelizeOptions& options = {}) {
  return detail::kernelize_layers(detail::layers_of(model), options);
}

// Every layer back to call-time dispatch, and with an empty mapping to its own forward. Kernels give back what
// they made of the weights.
template <Kernelizable Model>
void unkernelize(Model& model) {
  detail::unkernelize_layers(detail::layers_of(model));
}

namespace detail {
LAYERHUB_API void rebind_layers(const std::vector<LayerRef>& layers);
}

// After a weight's pointer or shape or an attribute changed: every binding of the layer is made anew, kernelized
// ones at once, the others at the next call. Throws Error as kernelize does.
template <Kernelizable Model>
void rebind(Model& model) {
  detail::rebind_layers(detail::layers_of(model));
}

namespace detail {
LAYERHUB_API void update_layer_params(const std::vector<LayerRef>& layers);
}

// After weights changed in place, as by a step of an optimizer: kernels read them again, or are made anew where they
// can't. No call of these layers may be in flight. Throws Error(kernel_failed) with the plugin's text.
template <Kernelizable Model>
void update_params(Model& model) {
  detail::update_layer_params(detail::layers_of(model));
}

}  // namespace layerhub
