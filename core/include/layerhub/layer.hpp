// SPDX-License-Identifier: Apache-2.0
// The two ways to mark a layer. A marked layer keeps its own forward; calling it runs the kernel that the mapping in
// force has for it and for the device of its first tensor, or the own forward where there is none.
//
//   struct RMSNorm : layerhub::use_kernel_forward_from_hub<RMSNorm, "RMSNorm"> {
//     Tensor weight;
//     float variance_epsilon;
//     auto hub_members() const { return layerhub::members(layerhub::param("weight", weight), ...); }
//     void forward(const Tensor& hidden_states, Tensor& output) const;
//   };
//   norm(x, y);
//
// The parameters of forward are matched with the kernel's arguments by position:
//   const Tensor&      an input                     const Tensor*    an optional input, nullptr is absent
//   Tensor&            an output or a state         any integer      an int that changes from call to call
//                                                   float, double    a float that changes from call to call
// forward is one function (no overloads, no template), returns nothing and writes into tensors that the caller has.
//
// The own forward is given the tensors as they are, those of another device too, whose data may be no address of this
// process. A layer that can read the cpu's alone is bound with Fallback::never where it runs on another device, or its
// forward looks at the device first. Tensors on several devices in one call are an Error(invalid_argument) where a
// kernel serves the layer, and so is a device that is not there.
//
// Calling is [thread-safe] as far as the host's own forward is. A copy of a layer is unbound, a moved one keeps its
// binding; copying, moving, assigning and destroying are for when no call of the layer is in flight.
#pragma once

#include <layerhub/detail/call.hpp>
#include <layerhub/export.hpp>
#include <layerhub/members.hpp>
#include <layerhub/training.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace layerhub {

namespace detail {

template <std::size_t N>
struct FixedString {
  char text[N];
  consteval FixedString(const char (&literal)[N]) { std::copy_n(literal, N, text); }
  constexpr std::string_view view() const { return {text, N - 1}; }
};

// The parameters of a forward, from its type.
template <class... Parameters>
struct Signature {
  static constexpr std::array<HostArgument, sizeof...(Parameters)> arguments{host_argument<Parameters>()...};

  template <class Layer, class... Arguments>
  [[gnu::always_inline]] static bool call(const Layer& layer, const LayerSlot& slot, const LayerType& type,
                                          Arguments&... arguments) {
    return call_kernel<Parameters...>(layer, slot, type, arguments...);
  }

  template <class... Arguments>
  static bool call_training(const LayerRef& layer, Saved& saved, Arguments&... arguments) {
    View views[sizeof...(Parameters)];
    return detail::call_training(layer, saved, Placed<Parameters...>(views, *layer.type, arguments...).as_arguments());
  }
};

template <class Function>
struct SignatureOf {
  static_assert(sizeof(Function) == 0, "forward is not a function that returns void");
};
#define LAYERHUB_SIGNATURE_OF(qualifiers, is_const)           \
  template <class T, class... Parameters>                     \
  struct SignatureOf<void (T::*)(Parameters...) qualifiers> { \
    using type = Signature<Parameters...>;                    \
    static constexpr bool callable_on_const = is_const;       \
  };
LAYERHUB_SIGNATURE_OF(, false)
LAYERHUB_SIGNATURE_OF(const, true)
LAYERHUB_SIGNATURE_OF(noexcept, false)
LAYERHUB_SIGNATURE_OF(const noexcept, true)
#undef LAYERHUB_SIGNATURE_OF

// The signature of a layer's forward: a replaced one says it, a marked one has it.
template <class Layer>
struct HubSignatureOf : SignatureOf<decltype(&Layer::forward)> {};
template <class Layer>
requires requires { typename Layer::HubSignature; }
struct HubSignatureOf<Layer> {
  using type = typename Layer::HubSignature;
};

template <class T>
std::vector<Member> members_of(const void* layer) {
  if constexpr (requires(const T& t) { t.hub_members(); }) {
    return static_cast<const T*>(layer)->hub_members();
  } else {
    return {};
  }
}

// LayerRef::keeps_own_forward of a marked class.
template <class T>
const char* kept_reason(const void* layer) {
  [[maybe_unused]] const T& self = *static_cast<const T*>(layer);
  if constexpr (std::is_polymorphic_v<T>) {
    if (typeid(self) != typeid(T)) {
      return "it is of a class derived from the marked one, whose forward may be another; mark that class itself";
    }
  }
  if constexpr (requires { bool{self.hub_condition()}; }) {
    if (!self.hub_condition()) {
      return "its hub_condition() says so";
    }
  }
  return nullptr;
}

}  // namespace detail

// Marks a class of the host's. Name is the layer's name in mappings.
//
// A class may opt single layers out: where `bool hub_condition() const` is there and false when the layer is bound, it
// runs its own forward and is never an error. So a gated MLP whose activation is not the one that a kernel computes
// keeps its numbers.
//
// A class that derives from a marked one is not marked by that. Where forward is virtual its layers run their own
// forward, since it may be another; a forward that is not virtual is hidden and not overridden, so calls through the
// base run the base's. To mark it too, derive from use_kernel_forward_from_hub again and say whose members are meant:
//   struct Loud : Quiet, layerhub::use_kernel_forward_from_hub<Loud, "Loud"> {
//     using Mark = layerhub::use_kernel_forward_from_hub<Loud, "Loud">;
//     using Mark::operator(), Mark::backward, Mark::call_own_forward, Mark::layer_ref;
template <class Derived, detail::FixedString Name>
class use_kernel_forward_from_hub {
 public:
  static constexpr std::string_view hub_layer_name = Name.view();

  template <class... Arguments>
  [[gnu::always_inline]] void operator()(Arguments&&... arguments) const {
    const Derived& self = static_cast<const Derived&>(*this);
    using Found = detail::SignatureOf<decltype(&Derived::forward)>;
    static_assert(Found::callable_on_const,
                  "forward is not const; a marked layer's forward keeps its state in its arguments");
    if (!Found::type::call(*this, slot_, layer_type(), arguments...)) {
      self.forward(std::forward<Arguments>(arguments)...);
    }
  }

  // See training.hpp.
  template <class... Arguments>
  void operator()(Saved& saved, Arguments&&... arguments) const {
    using Found = typename detail::SignatureOf<decltype(&Derived::forward)>::type;
    if (!Found::call_training(layer_ref(), saved, arguments...)) {
      static_cast<const Derived&>(*this).forward(std::forward<Arguments>(arguments)...);
    }
  }
  template <class... Arguments>
  void backward(const Saved& saved, Arguments&&... arguments) const {
    const Derived& self = static_cast<const Derived&>(*this);
    if (detail::call_backward_of(layer_ref(), saved, arguments...)) {
      return;
    }
    if constexpr (requires { self.own_backward(saved, std::forward<Arguments>(arguments)...); }) {
      self.own_backward(saved, std::forward<Arguments>(arguments)...);
    } else {
      detail::throw_no_backward(layer_ref());
    }
  }

  // For prepare, kernelize, explain and the like.
  template <class... Arguments>
  void call_own_forward(Arguments&... arguments) const {
    static_cast<const Derived&>(*this).forward(arguments...);
  }
  detail::LayerRef layer_ref() const {
    return {&slot_, &layer_type(), static_cast<const Derived*>(this), &detail::members_of<Derived>,
            &detail::kept_reason<Derived>};
  }

 private:
  static const detail::LayerType& layer_type() {
    using Found = typename detail::SignatureOf<decltype(&Derived::forward)>::type;
    static constexpr detail::LayerType type{Name.view(), &typeid(Derived), Found::arguments.data(),
                                            static_cast<std::uint32_t>(Found::arguments.size())};
    return type;
  }

  mutable detail::LayerSlot slot_;
};

// A layer of someone else's, called through this object. Made by replace_kernel_forward_from_hub.
template <class T, class Forward>
class ReplacedForward {
 public:
  using HubSignature = typename detail::SignatureOf<Forward>::type;

  ReplacedForward(T& layer, std::string_view name, Forward forward, std::vector<Member> members)
      : layer_(&layer),
        forward_(forward),
        description_(std::make_unique<Description>(Description{std::string(name), {}, std::move(members)})) {
    description_->type = {description_->name, &typeid(T), HubSignature::arguments.data(),
                          static_cast<std::uint32_t>(HubSignature::arguments.size())};
  }

  template <class... Arguments>
  [[gnu::always_inline]] void operator()(Arguments&&... arguments) const {
    if (!HubSignature::call(*this, slot_, description_->type, arguments...)) {
      (layer_->*forward_)(std::forward<Arguments>(arguments)...);
    }
  }

  template <class... Arguments>
  void call_own_forward(Arguments&... arguments) const {
    (layer_->*forward_)(arguments...);
  }
  detail::LayerRef layer_ref() const {
    return {&slot_, &description_->type, description_.get(),
            [](const void* description) { return static_cast<const Description*>(description)->members; }};
  }

 private:
  struct Description {
    std::string name;
    detail::LayerType type;
    std::vector<Member> members;
  };

  T* layer_;
  Forward forward_;
  std::unique_ptr<Description> description_;
  mutable detail::LayerSlot slot_;
};

// Wraps a layer of a library that is not yours: `silu(x, y)` runs the mapped kernel or layer.forward(x, y). The
// layer is borrowed and must outlive the wrapper. `members` lends its weights and attributes, under the names that
// kernels use.
//
// Calls that other people's code makes to the layer itself do not pass through the wrapper and are not replaced. And as
// on the Hub: a mark by the layer's maintainer is better. The maintainer knows what the layer promises and keeps the
// mark true when it changes; from outside, a new version of the library can change what forward means without notice,
// and a kernel that fitted then computes something else.
template <class T, class Forward>
ReplacedForward<T, Forward> replace_kernel_forward_from_hub(T& layer, std::string_view name, Forward forward,
                                                            std::vector<Member> members = {}) {
  return {layer, name, forward, std::move(members)};
}

}  // namespace layerhub
