// SPDX-License-Identifier: Apache-2.0
#include "support/known_layers.hpp"

#include <layerhub/layers/activation.hpp>
#include <layerhub/layers/attention.hpp>
#include <layerhub/layers/linear.hpp>
#include <layerhub/layers/mlp.hpp>
#include <layerhub/layers/norm.hpp>
#include <layerhub/layers/rotary.hpp>
#include <layerhub/sdk/signature.hpp>

#include <array>

namespace layerhub::testing {
namespace {

template <class Layer>
constexpr KnownLayer known() {
  return {Layer::name, sdk::signature_of<Layer>(), &Layer::reference, [] {
            if constexpr (requires { Layer::examples(); }) {
              return Layer::examples();
            } else {
              return std::vector<sdk::Example>(1);
            }
          }};
}

constexpr std::array known_layers{
    known<layers::SiluAndMul>(),      known<layers::GeluAndMul>(), known<layers::GeluTanhAndMul>(),
    known<layers::MulAndSilu>(),      known<layers::Silu>(),       known<layers::Gelu>(),
    known<layers::GeluTanh>(),        known<layers::FastGELU>(),   known<layers::NewGELU>(),
    known<layers::QuickGELU>(),       known<layers::ReLU>(),       known<layers::RMSNorm>(),
    known<layers::ResidualRMSNorm>(), known<layers::LayerNorm>(),  known<layers::Linear>(),
    known<layers::QKVLinear>(),       known<layers::SwiGLUMLP>(),  known<layers::RotaryPosEmb>(),
    known<layers::CausalAttention>(),
};

}  // namespace

const KnownLayer* find_known_layer(std::string_view name) {
  for (const KnownLayer& layer : known_layers) {
    if (layer.name == name) {
      return &layer;
    }
  }
  return nullptr;
}

}  // namespace layerhub::testing
