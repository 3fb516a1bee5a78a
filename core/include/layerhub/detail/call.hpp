// SPDX-License-Identifier: Apache-2.0
// A call, from the host's arguments to the kernel: views of its tensors, the slot, the constraints, lh_call, forward.
//
// Nothing here locks, allocates, builds a string or reads the environment. The frame of lh_call is the thread's: its
// pointers and counts are patched, the rest stands since the thread's first call, because zeroing a fresh lh_call would
// cost more than the whole of this. What is rare (first call, nested call, refusal, failure) is out of line in core.
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
#include <utility>
#include <vector>

namespace layerhub::detail {

// ---- The host's arguments, as its forward declares them
// --------------------------------------------------------------

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

// What is the same for all layers of one marked type.
struct LayerType {
  std::string_view name;       // "RMSNorm", as mappings name it
  std::string_view host_type;  // for messages
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
};

// ---- Out of line, in core/src/dispatch/layer_state.cpp
// ---------------------------------------------------------------

// Resolves, loads and binds for this device under the current mapping, and publishes the row. Throws as the policy
// says.
LAYERHUB_API void bind_for_call(const LayerRef& layer, DLDevice device);
// A constraint that does not hold, or LH_DECLINED: counts it, and the host's own forward runs.
LAYERHUB_API void note_refused(const BoundCall& binding, std::uint32_t constraint) noexcept;
LAYERHUB_API void note_declined(const BoundCall& binding) noexcept;
// Throws Error(kernel_failed) with the plugin's text.
[[noreturn]] LAYERHUB_API void throw_kernel_failure(const LayerRef& layer, const BoundCall& binding,
                                                    std::int32_t status, const CallFrame& frame);
LAYERHUB_API void prepare_frame(CallFrame& frame) noexcept;  // fills in what every call of a frame shares
LAYERHUB_API void release_frame(CallFrame& frame) noexcept;  // gives its workspace back
// Throws Error(invalid_argument): a tensor of more dimensions than the ABI has.
[[noreturn]] LAYERHUB_API void throw_rank(const LayerType& type, std::int32_t rank);
// Throws Error(invalid_argument) if a member of the layer changed since it was bound. Called in debug builds.
LAYERHUB_API void check_members_unchanged(const LayerRef& layer, const BoundCall& binding);

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
DLTensor* view_of(T& argument, View& storage, const LayerType& type) {
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

// ---- The call -------------------------------------------------------------------------------------------------------

struct Slots {  // how far the frame's arrays are filled
  std::uint32_t in = 0, out = 0, scalars = 0;
};

// Parameter decides what the argument is; T is what it is stored as. `written` keeps the host's order until the
// binding is known, which says where each stands.
template <class Parameter, class T>
inline void place(T& argument, View& storage, const LayerType& type, CallFrame& frame, DLTensor** written,
                  Slots& slots) {
  constexpr HostArgument kind = host_argument<Parameter>();
  if constexpr (TensorPointer<Parameter> && !std::same_as<T, std::remove_cvref_t<Parameter>>) {
    std::remove_cvref_t<Parameter> pointer = argument;  // a literal nullptr
    place<Parameter>(pointer, storage, type, frame, written, slots);
  } else if constexpr (kind.kind == HostArgumentKind::read_tensor) {
    frame.in[slots.in++] = view_of(argument, storage, type);
  } else if constexpr (kind.kind == HostArgumentKind::written_tensor) {
    written[slots.out++] = view_of(argument, storage, type);
  } else if constexpr (kind.kind == HostArgumentKind::integer) {
    frame.scalars[slots.scalars++].i = static_cast<std::int64_t>(argument);
  } else {
    frame.scalars[slots.scalars++].f = static_cast<double>(argument);
  }
}

template <class Parameter>
inline constexpr bool is_tensor = host_argument<Parameter>().kind <= HostArgumentKind::written_tensor;

inline const DispatchRow* find_row(const DispatchTable& table, std::uint64_t device, std::uint64_t mapping) noexcept {
  for (const DispatchRow *row = table.rows, *end = row + table.n_rows; row != end; ++row) {
    if (row->device == device && (row->mapping == mapping || row->mapping == any_mapping)) [[likely]] {
      return row;
    }
  }
  return nullptr;
}

enum class Served : std::uint8_t { kernel, own_forward, not_bound };

// One attempt inside a pinned section. Only after Served::kernel have the outputs been written.
template <class... Parameters, class... Arguments>
[[gnu::always_inline]] inline Served attempt(const ThreadRecord& thread, CallFrame& frame, const LayerRef& layer,
                                             DLDevice& device, Arguments&... arguments) {
  View storage[sizeof...(Arguments)];
  DLTensor* written[max_outputs];
  Slots slots;
  std::size_t next = 0;
  (place<Parameters>(arguments, storage[next++], *layer.type, frame, written, slots), ...);
  device = slots.in != 0 && frame.in[0] != nullptr ? frame.in[0]->device : written[0]->device;

  const DispatchRow* row = find_row(layer.slot->table(), device_key(device), current_mapping(thread));
  if (row == nullptr) [[unlikely]] {
    return Served::not_bound;
  }
  if (row->binding == nullptr) {
    return Served::own_forward;
  }
  const BoundCall& binding = *row->binding;
#ifndef NDEBUG
  check_members_unchanged(layer, binding);
#endif
  // Nearly always none to three: unrolled or vectorized, these loops cost more than they save.
#pragma GCC unroll 1
  for (std::uint32_t i = 0; i < slots.out; ++i) {
    frame.out[binding.out_order[i]] = written[i];
  }
#pragma GCC unroll 1
  for (std::uint32_t i = 0; i < binding.n_fixed_in; ++i) {
    frame.in[slots.in + i] = binding.fixed_in[i];
  }
  static_assert(offsetof(BoundCall, n_saved) == offsetof(BoundCall, n_in) + 6);
  std::memcpy(&frame.call.n_in, &binding.n_in, 8);
  frame.call.device = binding.device;
  if (binding.check != nullptr) {
    if (const std::uint32_t refused = binding.check(binding, frame)) [[unlikely]] {
      note_refused(binding, refused - 1);
      return Served::own_forward;
    }
  }
  frame.error.length = 0;
  std::int32_t status = LH_OK;
  if (binding.find_layout != nullptr) {
    status = binding.find_layout(binding, frame);
  }
  if (status == LH_OK) [[likely]] {
    status = binding.forward(binding.instance, &frame.call, &frame.error);
  }
  if (status == LH_OK) [[likely]] {
    return Served::kernel;
  }
  if (status == LH_DECLINED) {
    note_declined(binding);
    return Served::own_forward;
  }
  throw_kernel_failure(layer, binding, status, frame);
}

// A call inside a call of the same thread, which a host's own runner makes when it works on other things while it
// waits.
template <class... Parameters, class... Arguments>
[[gnu::noinline]] Served attempt_nested(const ThreadRecord& thread, const LayerRef& layer, DLDevice& device,
                                        Arguments&... arguments) {
  struct Frame : CallFrame {
    Frame() noexcept { prepare_frame(*this); }
    ~Frame() { release_frame(*this); }
  } frame;
  return attempt<Parameters...>(thread, frame, layer, device, arguments...);
}

// Leaves the record also when an exception passes: a kernel's failure, or one of the host's own from as_dltensor.
struct Pin {
  ThreadRecord& thread;
  const bool held;
  explicit Pin(ThreadRecord& record) noexcept : thread(record), held(record.enter()) {}
  Pin(const Pin&) = delete;
  ~Pin() {
    if (held) {
      thread.leave();
    }
  }
};

// Calls the kernel that serves `layer`, or returns false: the host runs its own forward.
template <class... Parameters, class... Arguments>
inline bool call_kernel(const LayerRef& layer, Arguments&... arguments) {
  static_assert((is_tensor<Parameters> || ...), "forward has no tensor, so there is no device to dispatch on");
  static_assert(sizeof...(Parameters) <= max_inputs, "forward has more parameters than a kernel can have");
  ThreadRecord& thread = this_thread != nullptr ? *this_thread : attach_thread();
  for (;;) {
    DLDevice device;
    Served served;
    {
      Pin pin(thread);
      served = pin.held ? attempt<Parameters...>(thread, thread.frame, layer, device, arguments...)
                        : attempt_nested<Parameters...>(thread, layer, device, arguments...);
    }
    if (served != Served::not_bound) [[likely]] {
      return served == Served::kernel;
    }
    bind_for_call(layer, device);
  }
}

}  // namespace layerhub::detail
