// SPDX-License-Identifier: Apache-2.0
// Putting plugins' kernels under the model's layers, and taking them away.
//
// A fused layer is an offer. Where a kernel serves the whole of it its parts stay unbound; where the mapping has none
// for its device, as on one whose plugins have no fused kernels, its parts are bound instead, by the same policy as any
// other layer. A kernel that the mapping names and that can't be used is an error for fused layers too.
#pragma once

#include "model.hpp"

#include <layerhub/layerhub.hpp>

namespace smollm2 {

// The plugins of layerhub, layer by layer, for the devices of the placement. Fused layers are in it as far as the
// plugins that are here have kernels of them.
layerhub::Mapping explicit_mapping(const Placement& placement);

// Takes the kernels away and brings the weights back to the cpu, where the own forwards are.
void unbind(Model& model);

// Places the weights and puts a kernel under every layer; says which layers stay on their own forward and why.
// required: a layer without a kernel is an error. Mapped weights that a kernel has copied are given back to the system.
void place_and_bind(Model& model, const Placement& placement, const layerhub::Mapping& mapping, bool required);

// Throws std::runtime_error if a call ran an own forward since the layers were bound.
void require_no_fallback(const Model& model);

// The layers that do the work, with their devices: fused ones that have a kernel, and the parts of those that have
// none.
template <class Visit>
void visit_working(const Model& model, Visit&& visit) {
  model.visit_with_device([&](const auto& layer, layerhub::Device device) {
    if constexpr (FusedLayer<std::remove_cvref_t<decltype(layer)>>) {
      if (!layerhub::binding_of(layer, device)) {
        layer.visit_parts([&](const auto& part) { visit(part, device); });
        return;
      }
    }
    visit(layer, device);
  });
}

}  // namespace smollm2
