// SPDX-License-Identifier: Apache-2.0
// A call, from the host's arguments to the kernel: views of its tensors, the row of its device, the frame of lh_call.
//
// Nothing here locks, allocates, builds a string or reads the environment. The frame is the thread's: only what differs
// from call to call is written, because zeroing a fresh lh_call would cost more than the whole of this. What is rare
// (first call, nested call, several rows, refusal, failure) is out of line in core, behind call_out_of_line and settle.
//
// Not part of the API: a host includes it through layer.hpp.
#pragma once

#include <layerhub/detail/slot.hpp>
#include <layerhub/members.hpp>
#include <layerhub/tensor.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace layerhub::detail {

// ---- The host's arguments, as its forward declares them -------------------------------------------------------------

enum class HostArgumentKind : std::uint8_t { read_tensor, written_tensor, integer, real };

struct HostArgument {
  HostArgumentKind kind;
  bool optional;  // passed by pointer: nullptr is absent
};

template <class T>
concept TensorPointer =
    std::is_pointer_v<std::remove_cvref_t<T>> && TensorLike<std::remove_pointer_t<std::remove_cvref_t<T>>>;

// Parameter is a parameter's type in the host's forward.
template <class Parameter>
consteval HostArgument host_argument() {
  using Plain = std::remove_cvref_t<Parameter>;
  if constexpr (TensorPointer<Parameter>) {
    constexpr bool read = std::is_const_v<std::remove_pointer_t<Plain>>;
    return {read ? HostArgumentKind::read_tensor : HostArgumentKind::written_tensor, true};
  } else if constexpr (TensorLike<Plain>) {
    constexpr bool written =
        std::is_lvalue_reference_v<Parameter> && !std::is_const_v<std::remove_reference_t<Parameter>>;
    return {written ? HostArgumentKind::written_tensor : HostArgumentKind::read_tensor, false};
  } else if constexpr (std::integral<Plain>) {
    return {HostArgumentKind::integer, false};
  } else {
    static_assert(
        std::floating_point<Plain>,
        "a parameter of forward is neither a tensor (is as_dltensor found for it?) nor an integer nor a float");
    return {HostArgumentKind::real, false};
  }
}

template <HostArgumentKind kind, class... Parameters>
inline constexpr std::size_t count_of = (std::size_t{host_argument<Parameters>().kind == kind} + ... + 0);

// What is the same for all layers of one marked type.
struct LayerType {
  std::string_view name;            // "RMSNorm", as mappings name it
  const std::type_info* host_type;  // for messages; nullptr: a kernel function, which has none
  const HostArgument* arguments;
  std::uint32_t n_arguments;
  bool is_function = false;  // a KernelFunction: bound when it is made, with nothing to fall back to
};

// One marked layer, without its C++ type.
struct LayerRef {
  LayerSlot* slot;
  const LayerType* type;
  const void* layer;
  std::vector<Member> (*members)(const void* layer);
  // Why this instance runs its own forward whatever is mapped; nullptr: it takes kernels. May itself be nullptr.
  const char* (*keeps_own_forward)(const void* layer) = nullptr;
};

// ---- Out of line, in core/src/dispatch/out_of_line.cpp --------------------------------------------------------------

// The host's arguments, each kind in the host's order. Device is the first tensor's.
struct CallArguments {
  const DLTensor* const* in;
  DLTensor* const* out;
  const lh_scalar* scalars;
  std::uint32_t n_in, n_out, n_scalars;
  DLDevice device;
};

// A whole call, however it comes about: attaches the thread, binds the layer, takes a frame on the stack for a call
// inside a call. false: the host runs its own forward. Throws as the policy and the kernel's status say.
LAYERHUB_API bool call_out_of_line(const LayerRef& layer, const CallArguments& arguments);
// The end of a call whose status is not LH_OK, with the thread still entered: false, or throws Error(kernel_failed).
LAYERHUB_API bool settle(const LayerRef& layer, ThreadRecord& thread, const BoundCall& binding, std::int32_t status);
// Throws Error(invalid_argument): a tensor of more dimensions than the ABI has.
[[noreturn]] LAYERHUB_API void throw_rank(const LayerType& type, std::int32_t rank);
// Throws Error(invalid_argument), the thread left, if a member of the layer changed since it was bound. In debug
// builds.
LAYERHUB_API void check_members_unchanged(const LayerRef& layer, ThreadRecord& thread, const BoundCall& binding);

// ---- Views ----------------------------------------------------------------------------------------------------------

struct View {
  DLTensor tensor;
  std::int64_t strides[LH_MAX_RANK];
};

// The ABI's tensors always have strides; hosts may leave them out for dense ones. Not inlined: once per argument it
// would crowd the registers of the call itself.
[[gnu::noinline]] inline void fill_dense_strides(View& view, const LayerType& type) {
  if (view.tensor.ndim > LH_MAX_RANK) [[unlikely]] {
    throw_rank(type, view.tensor.ndim);
  }
  std::int64_t stride = 1;
  for (std::int32_t d = view.tensor.ndim; d-- > 0; stride *= view.tensor.shape[d]) {
    view.strides[d] = stride;
  }
  view.tensor.strides = view.strides;
}

template <class T>
[[gnu::always_inline]] inline DLTensor* view_of(T& argument, View& storage, const LayerType& type) {
  if constexpr (TensorPointer<T>) {
    return argument == nullptr ? nullptr : view_of(*argument, storage, type);
  } else {
    if constexpr (std::same_as<std::remove_const_t<T>, DLTensor>) {
      if (argument.strides != nullptr) [[likely]] {
        return const_cast<DLTensor*>(&argument);
      }
    }
    storage.tensor = as_dltensor(argument);
    if (storage.tensor.strides == nullptr) {
      fill_dense_strides(storage, type);
    }
    return &storage.tensor;
  }
}

// The arguments of one call, apart by kind. Small arrays that the compiler keeps in registers.
template <class... Parameters>
struct Placed {
  static constexpr std::size_t n_in = count_of<HostArgumentKind::read_tensor, Parameters...>;
  static constexpr std::size_t n_out = count_of<HostArgumentKind::written_tensor, Parameters...>;
  static constexpr std::size_t n_scalars =
      count_of<HostArgumentKind::integer, Parameters...> + count_of<HostArgumentKind::real, Parameters...>;
  static_assert(n_in + n_out != 0, "forward has no tensor, so there is no device to dispatch on");
  static_assert(n_in <= max_inputs && n_out <= max_outputs && n_scalars <= max_scalars,
                "forward has more parameters than a kernel can have");

  static constexpr bool first_is_optional = [] {
    for (const HostArgument argument : {host_argument<Parameters>()...}) {
      if (argument.kind == HostArgumentKind::read_tensor) {
        return argument.optional;
      }
    }
    return false;
  }();

  const DLTensor* in[n_in + 1];  // arrays of no element are not C++
  DLTensor* out[n_out + 1];
  lh_scalar scalars[n_scalars + 1];

  // The views are apart: their addresses go to a function, and what lies beside them would be kept in memory for it.
  template <class... Arguments>
  [[gnu::always_inline]] Placed(View (&views)[sizeof...(Parameters)], const LayerType& type, Arguments&... arguments) {
    std::size_t next = 0, next_in = 0, next_out = 0, next_scalar = 0;
    (place<Parameters>(arguments, views[next++], type, next_in, next_out, next_scalar), ...);
  }

  // An optional first tensor may be absent: then the first that is written decides.
  [[gnu::always_inline]] const DLDevice& device() const {
    if constexpr (n_in == 0) {
      return out[0]->device;
    } else if constexpr (n_out != 0 && first_is_optional) {
      return in[0] == nullptr ? out[0]->device : in[0]->device;
    } else {
      return in[0]->device;
    }
  }

  [[gnu::always_inline]] void write_to(CallFrame& frame) const {
    for (std::size_t i = 0; i < n_in; ++i) frame.in[i] = in[i];
    for (std::size_t i = 0; i < n_out; ++i) frame.out[i] = out[i];
    for (std::size_t i = 0; i < n_scalars; ++i) frame.scalars[i] = scalars[i];
  }

  CallArguments as_arguments() const {
    return {in, out, scalars, std::uint32_t{n_in}, std::uint32_t{n_out}, std::uint32_t{n_scalars}, device()};
  }

 private:
  // Parameter decides what the argument is; T is what it is stored as.
  template <class Parameter, class T>
  [[gnu::always_inline]] void place(T& argument, View& storage, const LayerType& type, std::size_t& next_in,
                                    std::size_t& next_out, std::size_t& next_scalar) {
    constexpr HostArgumentKind kind = host_argument<Parameter>().kind;
    if constexpr (TensorPointer<Parameter> && !std::same_as<std::remove_const_t<T>, std::remove_cvref_t<Parameter>>) {
      std::remove_cvref_t<Parameter> pointer = argument;  // a literal nullptr
      place<Parameter>(pointer, storage, type, next_in, next_out, next_scalar);
    } else if constexpr (kind == HostArgumentKind::read_tensor) {
      in[next_in++] = view_of(argument, storage, type);
    } else if constexpr (kind == HostArgumentKind::written_tensor) {
      out[next_out++] = view_of(argument, storage, type);
    } else if constexpr (kind == HostArgumentKind::integer) {
      scalars[next_scalar++].i = static_cast<std::int64_t>(argument);
    } else {
      scalars[next_scalar++].f = static_cast<double>(argument);
    }
  }
};

// ---- The call -------------------------------------------------------------------------------------------------------

[[gnu::always_inline]] inline bool serves(const DispatchRow& row, std::uint64_t device, const ThreadRecord& thread) {
  return row.device == device && (row.mapping == any_mapping || row.mapping == current_mapping(thread));
}

// The arguments are placed again: if their addresses left the common path, the compiler would keep them in memory there.
template <class... Parameters, class Layer, class... Arguments>
[[gnu::noinline, gnu::cold]] bool call_uncommonly(const Layer& layer, const LayerType& type, Arguments&... arguments) {
  View views[sizeof...(Parameters)];
  return call_out_of_line(layer.layer_ref(), Placed<Parameters...>(views, type, arguments...).as_arguments());
}

template <class Layer>
[[gnu::noinline, gnu::cold]] bool settle_call(const Layer& layer, ThreadRecord& thread, const BoundCall& binding,
                                              std::int32_t status) {
  return settle(layer.layer_ref(), thread, binding, status);
}

// Calls the kernel that serves the layer, or returns false: the host runs its own forward.
// Layer: has layer_ref(), which is asked for where the call leaves the common path.
template <class... Parameters, class Layer, class... Arguments>
[[gnu::always_inline]] inline bool call_kernel(const Layer& layer, const LayerSlot& slot, const LayerType& type,
                                               Arguments&... arguments) {
  View views[sizeof...(Parameters)];
  const Placed<Parameters...> placed(views, type, arguments...);
  ThreadRecord& thread = *this_thread;
  if (!thread.enter()) [[unlikely]] {
    return call_uncommonly<Parameters...>(layer, type, arguments...);
  }
  const DispatchTable& table = slot.table();
  if (!serves(table.first, device_key(placed.device()), thread)) [[unlikely]] {
    thread.leave();
    return call_uncommonly<Parameters...>(layer, type, arguments...);
  }
  const BoundCall& binding = *table.first.binding;
#ifndef NDEBUG
  check_members_unchanged(layer.layer_ref(), thread, binding);
#endif
  placed.write_to(thread.frame);
  const std::int32_t status = binding.run(binding, thread.frame);
  if (status != LH_OK) [[unlikely]] {
    return settle_call(layer, thread, binding, status);
  }
  thread.leave();
  return true;
}

}  // namespace layerhub::detail
