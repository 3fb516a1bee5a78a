// SPDX-License-Identifier: Apache-2.0
// Training: a forward that keeps what its backward needs, and that backward, through one binding.
//
//   layerhub::Saved saved;
//   norm(saved, x, y);                // forward, in training mode
//   norm.backward(saved, grad_y, grad_x, param_gradient("weight", grad_w));
//   layerhub::update_params(model);   // after the optimizer changed weights in place
//
// The arguments of backward: a gradient of each output, in the order of forward; then where the gradient of each input
// goes, nullptr where it is not wanted, and those that are left out at the end are not wanted either; then those of
// params by name. Gradients have the shape and dtype of what they belong to, are dense, and are overwritten. On a
// device each of the two goes to the stream in use when it is called; where that changed, make the second wait.
//
// Where no kernel with a backward serves the layer, forward is its own, and so is backward: a member
//   void own_backward(const Saved& saved, ...) const
// that takes what backward is called with and finds forward's inputs in saved.input(i). Without one, backward throws.
#pragma once

#include <layerhub/detail/call.hpp>
#include <layerhub/export.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>

namespace layerhub {

namespace detail {
struct SavedState;
}

// What one forward keeps for its backward: the views of its inputs, whose memory stays the host's and must not change
// until then; what the kernel saved, in memory of its own that the next forward uses again; and the binding, so that
// both run the same kernel whatever is bound meanwhile. The layer must stay where it is until then. [one thread at a
// time]
class LAYERHUB_API Saved {
 public:
  Saved();
  ~Saved();
  Saved(Saved&&) noexcept;
  Saved& operator=(Saved&&) noexcept;

  // The i-th input of the forward that was saved, in the host's order; an absent one has no data.
  // Throws Error(invalid_argument) before a forward, or for an input that there is not.
  const DLTensor& input(std::size_t i) const;

  detail::SavedState& state() const { return *state_; }

 private:
  std::unique_ptr<detail::SavedState> state_;
};

// Where the gradient of a param goes; made by param_gradient.
struct ParamGradient {
  std::string_view name;
  DLTensor tensor;
};
template <TensorLike T>
ParamGradient param_gradient(std::string_view name, T& gradient) {
  return {name, as_dltensor(gradient)};
}

namespace detail {

// One argument of backward after `saved`.
struct GradientArgument {
  std::string_view param;  // empty: by position
  DLTensor* tensor = nullptr;
};

template <class T>
GradientArgument gradient_argument(T& argument, View& storage, const LayerType& type) {
  using Plain = std::remove_cvref_t<T>;
  if constexpr (std::is_same_v<Plain, std::nullptr_t>) {
    return {};
  } else if constexpr (std::is_same_v<Plain, ParamGradient>) {
    storage.tensor = argument.tensor;
    if (storage.tensor.strides == nullptr) {
      fill_dense_strides(storage, type);
    }
    return {argument.name, &storage.tensor};
  } else {
    return {{}, view_of(argument, storage, type)};
  }
}

// A forward in training mode. false: the host runs its own; `saved` knows.
LAYERHUB_API bool call_training(const LayerRef& layer, Saved& saved, const CallArguments& arguments);
// false: forward was the host's own, and so is backward.
// Throws Error: invalid_argument for gradients that do not fit, kernel_failed with the plugin's text.
LAYERHUB_API bool call_backward(const LayerRef& layer, const Saved& saved, const GradientArgument* arguments,
                                std::size_t count);
// Throws Error(unsupported): neither a kernel nor the layer has a backward; with the reason why no kernel serves.
[[noreturn]] LAYERHUB_API void throw_no_backward(const LayerRef& layer);

template <class... Arguments>
bool call_backward_of(const LayerRef& layer, const Saved& saved, Arguments&... arguments) {
  static_assert(sizeof...(Arguments) != 0, "backward needs the gradient of forward's output");
  View views[sizeof...(Arguments)];
  std::size_t next = 0;
  const GradientArgument all[] = {gradient_argument(arguments, views[next++], *layer.type)...};
  return call_backward(layer, saved, all, sizeof...(Arguments));
}

}  // namespace detail
}  // namespace layerhub
