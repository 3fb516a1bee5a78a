// SPDX-License-Identifier: Apache-2.0
// How often the layers of a kind were called and for how long, for the table at the end of a run.
#pragma once

#include "fused_layers.hpp"
#include "layers.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace smollm2 {

enum class LayerKind : std::uint8_t { norm, residual_norm, linear, qkv, rotary, attention, activation, mlp };
constexpr std::array<const char*, 8> layer_names{"RMSNorm",        "ResidualRMSNorm", "Linear",     "QKVLinear",
                                                 "rotary_pos_emb", "CausalAttention", "SiluAndMul", "SwiGLUMLP"};

constexpr LayerKind kind_of(const RMSNorm&) { return LayerKind::norm; }
constexpr LayerKind kind_of(const ResidualRMSNorm&) { return LayerKind::residual_norm; }
constexpr LayerKind kind_of(const Linear&) { return LayerKind::linear; }
constexpr LayerKind kind_of(const QKVLinear&) { return LayerKind::qkv; }
constexpr LayerKind kind_of(const RotaryPosEmb&) { return LayerKind::rotary; }
constexpr LayerKind kind_of(const CausalAttention&) { return LayerKind::attention; }
constexpr LayerKind kind_of(const SiluAndMul&) { return LayerKind::activation; }
constexpr LayerKind kind_of(const SwiGLUMLP&) { return LayerKind::mlp; }

struct LayerTime {
  std::uint64_t calls = 0;
  double seconds = 0;
};
using LayerTimes = std::array<LayerTime, layer_names.size()>;

// Where timed() counts the calls of this thread, until the object is destroyed. A thread's, since a fused layer's own
// forward calls its parts and has no argument for it.
class CountedIn {
 public:
  explicit CountedIn(LayerTimes& times) : outer_(current) { current = &times; }
  ~CountedIn() { current = outer_; }
  CountedIn(const CountedIn&) = delete;

  static void add(LayerKind kind, double seconds) {
    if (current != nullptr) {
      LayerTime& time = (*current)[static_cast<std::size_t>(kind)];
      ++time.calls;
      time.seconds += seconds;
    }
  }

 private:
  static inline thread_local LayerTimes* current = nullptr;
  LayerTimes* outer_;
};

// Calls the layer and adds the time to its kind's, on a device the time until its work is done. That of a fused layer
// which runs its parts holds theirs.
template <class Layer, class First, class... Arguments>
void timed(const Layer& layer, First&& first, Arguments&&... arguments) {
  const auto begin = std::chrono::steady_clock::now();
  layer(first, arguments...);
  if (first.device.device_type != kDLCPU) {
    layerhub::Stream::default_of(layerhub::Device::of(first.device)).synchronize();
  }
  CountedIn::add(kind_of(layer), std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

}  // namespace smollm2
