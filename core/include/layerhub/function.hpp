// SPDX-License-Identifier: Apache-2.0
// A free function as a layer: no members, mapped and replaced like any other.
//
//   void silu(const Tensor& x, Tensor& y);                                     // the own forward
//   inline const layerhub::use_kernel_func_from_hub<&silu, "Silu"> hub_silu;
//   hub_silu(x, y);                                                            // dispatched on the device of x
//
// What is kernelized is the object and not the function: a model that holds one of its own and lends it to kernelize
// changes nothing for other models, nor for who calls silu itself. A function that is not marked is refused when the
// host is compiled. Calling is [thread-safe] as far as the function is.
#pragma once

#include <layerhub/layer.hpp>

#include <string_view>
#include <utility>

namespace layerhub {

namespace detail {
template <class... Parameters>
struct SignatureOf<void (*)(Parameters...)> {
  using type = Signature<Parameters...>;
};
template <class... Parameters>
struct SignatureOf<void (*)(Parameters...) noexcept> : SignatureOf<void (*)(Parameters...)> {};
}  // namespace detail

template <auto function, detail::FixedString Name>
class use_kernel_func_from_hub {
 public:
  static constexpr std::string_view hub_layer_name = Name.view();
  using HubSignature = typename detail::SignatureOf<decltype(function)>::type;

  template <class... Arguments>
  [[gnu::always_inline]] void operator()(Arguments&&... arguments) const {
    if (!HubSignature::call(*this, slot_, layer_type(), arguments...)) {
      function(std::forward<Arguments>(arguments)...);
    }
  }

  // For prepare, kernelize, explain and the like.
  template <class... Arguments>
  void call_own_forward(Arguments&... arguments) const {
    function(arguments...);
  }
  detail::LayerRef layer_ref() const {
    return {&slot_, &layer_type(), this, [](const void*) { return std::vector<Member>{}; }};
  }

 private:
  static const detail::LayerType& layer_type() {
    static constexpr detail::LayerType type{Name.view(), &typeid(decltype(function)), HubSignature::arguments.data(),
                                            static_cast<std::uint32_t>(HubSignature::arguments.size())};
    return type;
  }

  mutable detail::LayerSlot slot_;
};

}  // namespace layerhub
