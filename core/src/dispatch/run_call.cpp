// SPDX-License-Identifier: Apache-2.0
#include "dispatch/run_call.hpp"

#include "base/event.hpp"
#include "base/reason.hpp"
#include "device/streams.hpp"
#include "dispatch/call_frame.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace layerhub::dispatch {
namespace {

using detail::BoundCall;
using detail::CallFrame;

const Binding& whole(const BoundCall& call) { return static_cast<const Binding&>(call); }

void write_counts(const Binding& binding, CallFrame& frame) {
  static_assert(offsetof(lh_call, n_saved) == offsetof(lh_call, n_in) + 6 && sizeof binding.counts == 8);
  std::memcpy(&frame.call.n_in, &binding.counts, sizeof binding.counts);
}

// Most calls: on the cpu, for inference, arguments in the kernel's order, no workspace. A jump to the kernel.
std::int32_t run_plain(const BoundCall& call, CallFrame& frame) {
  const Binding& binding = whole(call);
  write_counts(binding, frame);
  return binding.forward(binding.instance, &frame.call, &frame.error);
}

// The same with absent optional inputs and params behind the host's inputs.
std::int32_t run_with_params(const BoundCall& call, CallFrame& frame) {
  const Binding& binding = whole(call);
  const DLTensor** in = frame.in + binding.n_host_inputs;
#pragma GCC unroll 1
  for (const DLTensor* fixed : binding.fixed) {
    *in++ = fixed;
  }
  return run_plain(call, frame);
}

void put_in_order(const Binding& binding, CallFrame& frame) {
  std::array<DLTensor*, detail::max_outputs> written;
  std::memcpy(written.data(), frame.out, sizeof frame.out);
  for (std::size_t i = 0; i < binding.counts.n_out; ++i) {
    frame.out[binding.out_order[i]] = written[i];
  }
}

// What the workspace has to be for these tensors.
std::int32_t needed_workspace(const Binding& binding, CallFrame& frame, std::size_t& bytes) {
  return !binding.has_layouts ? std::int32_t{LH_OK}
                              : binding.layouts.workspace_of(binding.kernel->functions, binding.instance,
                                                             binding.layout_arguments, frame, &bytes);
}

// Whatever a binding may need.
std::int32_t run_any(const BoundCall& call, CallFrame& frame) {
  const Binding& binding = whole(call);
  std::size_t bytes = 0;
  if (const std::int32_t status = needed_workspace(binding, frame, bytes); status != LH_OK) {
    return status;
  }
  if (!grow_workspace(frame, bytes)) {
    return LH_OUT_OF_MEMORY;
  }
  frame.call.mode = binding.call_mode;
  frame.call.device = binding.device;
  const std::int32_t status = run_with_params(call, frame);
  frame.call.mode = LH_MODE_INFERENCE;  // as the common calls find it
  frame.call.device = {kDLCPU, 0};
  return status;
}

// On a device: the call goes to the stream that the thread has in use, with that stream's workspace, while the thread's
// current device is the binding's. A fault is for ever: later calls on the device do not reach the kernel.
template <class Need, class Run>
std::int32_t on_stream(const Binding& binding, CallFrame& frame, Need&& need, Run&& run) {
  device::DeviceState& on = *binding.on_device;
  if (on.lost.load(std::memory_order_acquire)) {
    return LH_DEVICE_LOST;
  }
  device::StreamState* stream = device::chosen_stream(on);
  stream = stream != nullptr ? stream : on.default_stream.load(std::memory_order_acquire);
  const device::CurrentDevice current(on);
  std::size_t bytes = 0;
  void* workspace = nullptr;
  std::int32_t status = need(bytes);
  if (status == LH_OK && bytes != 0) {
    status = device::workspace_on(*stream, bytes, &workspace, &frame.error);
  }
  if (status == LH_OK) {
    const lh_call of_the_cpu = frame.call;
    frame.call.device = binding.device;
    frame.call.stream = stream->native;
    frame.call.workspace = workspace;
    frame.call.workspace_size = bytes;
    status = run();
    frame.call = of_the_cpu;
  }
  if (status == LH_DEVICE_LOST) {
    device::lose(on, printable({frame.text, std::min<std::size_t>(frame.error.length, sizeof frame.text)}));
  }
  return status;
}

std::int32_t run_on_device(const BoundCall& call, CallFrame& frame) {
  const Binding& binding = whole(call);
  return on_stream(
      binding, frame, [&](std::size_t& bytes) { return needed_workspace(binding, frame, bytes); },
      [&] {
        frame.call.mode = binding.call_mode;
        return run_with_params(call, frame);
      });
}

// The outputs are put in the kernel's order before anything looks at them: constraints and layouts name arguments.
template <BoundCall::Run run>
std::int32_t in_order(const BoundCall& call, CallFrame& frame) {
  put_in_order(whole(call), frame);
  return run(call, frame);
}

// No forward, the layer's own included, can compute with tensors that lie apart.
bool is_on_one_device(const Binding& binding, const CallFrame& frame) {
  const auto fits = [&](const DLTensor* x) { return x == nullptr || Device::of(x->device) == binding.on; };
  return std::all_of(frame.in, frame.in + binding.n_host_inputs, fits) &&
         std::all_of(frame.out, frame.out + binding.counts.n_out, fits);
}

std::int32_t check_whole(const Binding& binding, const CallFrame& frame) noexcept {
  const std::uint32_t refused = binding.constraints.check(frame.in, frame.out);
  return refused == 0                       ? std::int32_t{LH_OK}
         : is_on_one_device(binding, frame) ? note_refused(binding, refused - 1)
                                            : detail::on_several_devices;
}

[[gnu::noinline]] std::int32_t check_whole_and(BoundCall::Run run, const BoundCall& call, CallFrame& frame) {
  const std::int32_t status = check_whole(whole(call), frame);
  return status == LH_OK ? run(call, frame) : status;
}

// The tensors hold.
[[gnu::noinline]] std::int32_t check_rest_and(BoundCall::Run run, const BoundCall& call, CallFrame& frame) {
  const Binding& binding = whole(call);
  return binding.dense.rest_holds(binding.constraints, frame.in, frame.out[0]) ? run(call, frame)
                                                                               : check_whole_and(run, call, frame);
}

// n_dense: the number of inputs of the quick check; 0: it does not know these arguments.
template <std::size_t n_dense, bool resembling, BoundCall::Run run>
std::int32_t check_and(const BoundCall& call, CallFrame& frame) {
  if constexpr (n_dense != 0) {
    const DenseCheck& quick = whole(call).dense;
    if (quick.tensors_hold<n_dense, resembling>(frame.in, frame.out[0])) [[likely]] {
      return quick.has_rest() ? check_rest_and(run, call, frame) : run(call, frame);
    }
  }
  return check_whole_and(run, call, frame);
}

template <BoundCall::Run run>
std::int32_t check_in_order(const BoundCall& call, CallFrame& frame) {
  put_in_order(whole(call), frame);
  return check_whole_and(run, call, frame);
}

template <bool resembling, BoundCall::Run run>
BoundCall::Run checked(std::size_t n_inputs) {
  switch (n_inputs) {
    case 1: return &check_and<1, resembling, run>;
    case 2: return &check_and<2, resembling, run>;
    case 3: return &check_and<3, resembling, run>;
    default: return &check_and<0, resembling, run>;
  }
}

template <BoundCall::Run run>
BoundCall::Run checked(const Binding& binding) {
  const DenseCheck& quick = binding.dense;
  return quick.has_resembling() ? checked<true, run>(quick.n_inputs()) : checked<false, run>(quick.n_inputs());
}

bool is_in_order(const Binding& binding) {
  for (std::size_t i = 0; i < binding.counts.n_out; ++i) {
    if (binding.out_order[i] != i) {
      return false;
    }
  }
  return true;
}

}  // namespace

const BoundCall own_forward_call{[](const BoundCall&, CallFrame&) { return detail::own_forward; },
                                 [](const BoundCall&, CallFrame&) { return detail::own_forward; }};

void choose_run(Binding& binding) {
  const bool is_common = !binding.has_layouts && binding.call_mode == LH_MODE_INFERENCE && binding.on == Device::cpu();
  if (binding.on_device != nullptr) {
    const bool is_ordered = is_in_order(binding);
    binding.run_unchecked = is_ordered ? &run_on_device : &in_order<&run_on_device>;
    binding.run = is_ordered ? checked<&run_on_device>(binding) : &check_in_order<&run_on_device>;
  } else if (!is_in_order(binding)) {
    binding.run_unchecked = &in_order<&run_any>;
    binding.run = &check_in_order<&run_any>;
  } else if (!is_common) {
    binding.run_unchecked = &run_any;
    binding.run = checked<&run_any>(binding);
  } else if (!binding.fixed.empty()) {
    binding.run_unchecked = &run_with_params;
    binding.run = checked<&run_with_params>(binding);
  } else {
    binding.run_unchecked = &run_plain;
    binding.run = checked<&run_plain>(binding);
  }
  if ((binding.kernel->traits & LH_TRAIT_CHECKS_TENSORS) != 0) {
    binding.run = binding.run_unchecked;
  }
}

lh_call whole_call(const Binding& binding, CallFrame& frame) {
  std::copy(binding.fixed.begin(), binding.fixed.end(), frame.in + binding.n_host_inputs);
  lh_call call = frame.call;
  std::memcpy(&call.n_in, &binding.counts, sizeof binding.counts);
  call.device = binding.device;
  return call;
}

std::int32_t check_constraints(const Binding& binding, CallFrame& frame) noexcept {
  put_in_order(binding, frame);
  return binding.run == binding.run_unchecked ? std::int32_t{LH_OK} : check_whole(binding, frame);
}

std::int32_t run_where_bound(const Binding& binding, CallFrame& frame,
                             const std::function<std::int32_t(std::size_t& workspace)>& need,
                             const std::function<std::int32_t()>& run) {
  if (binding.on_device != nullptr) {
    return on_stream(binding, frame, need, run);
  }
  std::size_t bytes = 0;
  if (const std::int32_t status = need(bytes); status != LH_OK) {
    return status;
  }
  return grow_workspace(frame, bytes) ? run() : std::int32_t{LH_OUT_OF_MEMORY};
}

std::int32_t note_refused(const Binding& binding, std::uint32_t constraint) noexcept {
  binding.refused.fetch_add(1, std::memory_order_relaxed);
  binding.last_refused.store(constraint + 1, std::memory_order_relaxed);
  if (has_event_hook()) {
    notify(
        {EventKind::refused, binding.kernel->layer, to_string(binding.on), binding.constraints.describe(constraint)});
  }
  return detail::own_forward;
}

}  // namespace layerhub::dispatch
