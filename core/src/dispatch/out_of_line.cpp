// SPDX-License-Identifier: Apache-2.0
// What a call does rarely, kept out of the host's code: its first time, a call inside a call, refusals and failures.
#include "dispatch/out_of_line.hpp"

#include "base/event.hpp"
#include "base/reason.hpp"
#include "dispatch/call_frame.hpp"
#include "dispatch/layer_state.hpp"
#include "dispatch/run_call.hpp"
#include "dispatch/tensor_layout.hpp"
#include "plugin/error_text.hpp"

#include <layerhub/prepared.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace layerhub::detail {
namespace {

const dispatch::Binding& whole(const BoundCall& binding) { return static_cast<const dispatch::Binding&>(binding); }

// "x float32[2, 64] on opencl:0, output absent", for messages.
std::string describe_tensors(const dispatch::Binding& binding, const CallFrame& frame) {
  std::string text;
  std::uint32_t inputs = 0, outputs = 0, states = binding.layout_arguments.n_outputs;
  for (const hub::Argument& argument : binding.kernel->arguments) {
    const DLTensor* x = nullptr;
    switch (argument.kind) {
      case LH_ARG_INPUT: x = frame.in[inputs++]; break;
      case LH_ARG_OUTPUT: x = frame.out[outputs++]; break;
      case LH_ARG_STATE: x = frame.out[states++]; break;
      default: continue;
    }
    text += (text.empty() ? "" : ", ") + dispatch::describe_tensor(argument.name, x);
  }
  return text;
}

Reason failure(const LayerRef& layer, const dispatch::Binding& binding, std::int32_t status, const char* function,
               std::string_view text, const CallFrame& frame) {
  std::string said = printable(text, 512);
  if (status == LH_DEVICE_LOST && said.empty() && binding.on_device != nullptr) {
    std::lock_guard lock(binding.on_device->mutex);
    said = binding.on_device->lost_by;
  }
  return make_reason(
      plugin::error_code(status, ErrorCode::kernel_failed), function,
      fmt::format(
          "layer `{}` on {}: {} of kernel `{}` of {}@{} failed ({}){}{}; its outputs are undefined{}; it was given {}",
          layer.type->name, to_string(binding.on), function, binding.kernel_name(), binding.plugin->repo(),
          binding.plugin->revision(), plugin::status_name(status), said.empty() ? "" : ": ", said,
          status == LH_DEVICE_LOST ? ", and so is all that the device computes from here on" : "",
          describe_tensors(binding, frame)),
      {{"status", std::to_string(status)}, {"library", binding.plugin->path().string()}});
}

Reason several_devices(const LayerRef& layer, const dispatch::Binding& binding, const CallFrame& frame) {
  return make_reason(ErrorCode::invalid_argument, "device",
                     fmt::format("layer `{}` on {}: its tensors are on several devices ({}); copy them to one",
                                 layer.type->name, to_string(binding.on), describe_tensors(binding, frame)));
}

std::string changed_member(const LayerRef& layer, const dispatch::Binding& binding) {
  const std::vector<Member> now = layer.members(layer.layer);
  const bool owned = (binding.kernel->traits & LH_TRAIT_OWNS_PARAMS) != 0;  // the host's may be gone
  const auto same = [&](const Member& a, const Member& b) {
    return a.name == b.name && a.is_param == b.is_param &&
           (a.is_param ? owned || (a.tensor.data == b.tensor.data && a.shape == b.shape) : a.value == b.value);
  };
  return std::equal(now.begin(), now.end(), binding.members.begin(), binding.members.end(), same)
             ? ""
             : fmt::format(
                   "layer `{}`: a weight's memory or shape or an attribute changed since it was bound; "
                   "call layerhub::rebind(layer) after such a change",
                   layer.type->name);
}

}  // namespace

bool is_own_forward(const LayerRef& layer, const BoundCall& call, std::int32_t status, CallFrame& frame,
                    const char* function) {
  const std::string_view text(frame.text, std::min<std::size_t>(frame.error.length, sizeof frame.text));
  frame.error.length = 0;
  if (status == own_forward) {
    return true;
  }
  if (status == LH_DECLINED) {
    const dispatch::Binding& binding = whole(call);
    binding.declined.fetch_add(1, std::memory_order_relaxed);
    if (has_event_hook()) {
      notify({EventKind::declined, layer.type->name, to_string(binding.on), binding.kernel_name()});
    }
    return true;
  }
  if (status == on_several_devices) {
    throw Error(several_devices(layer, whole(call), frame));
  }
  throw Error(failure(layer, whole(call), status, function, text, frame));
}

void write_to(CallFrame& frame, const CallArguments& arguments) noexcept {
  std::copy_n(arguments.in, arguments.n_in, frame.in);
  std::copy_n(arguments.out, arguments.n_out, frame.out);
  std::copy_n(arguments.scalars, arguments.n_scalars, frame.scalars);
}

bool call_out_of_line(const LayerRef& layer, const CallArguments& arguments) {
  ThreadRecord& thread = attached_thread();
  for (;;) {
    {
      dispatch::FrameLease lease(thread);
      if (const DispatchRow* row = dispatch::find_row(layer.slot->table(), arguments.device, current_mapping(thread))) {
        write_to(lease.frame(), arguments);
        const std::int32_t status = row->binding->run(*row->binding, lease.frame());
        return status == LH_OK || !is_own_forward(layer, *row->binding, status, lease.frame(), "forward");
      }
    }
    dispatch::bind_for_call(layer, arguments.device, dispatch::current_mapping_value());
  }
}

Preparation prepare_call(const LayerRef& layer, const CallArguments& arguments) {
  ThreadRecord& thread = attached_thread();
  for (;;) {
    {
      dispatch::FrameLease lease(thread);
      const DispatchTable& table = layer.slot->table();
      if (const DispatchRow* row = dispatch::find_row(table, arguments.device, current_mapping(thread))) {
        write_to(lease.frame(), arguments);
        const std::int32_t status = row->binding == &dispatch::own_forward_call
                                        ? own_forward
                                        : dispatch::check_constraints(whole(*row->binding), lease.frame());
        if (status == on_several_devices) {
          return {};  // the call that follows says so, and so does each later one
        }
        return {table.serial, row->mapping, status == LH_OK ? row->binding : &dispatch::own_forward_call};
      }
    }
    dispatch::bind_for_call(layer, arguments.device, dispatch::current_mapping_value());
  }
}

void check_tensors_unchanged(const LayerType& type, const CallArguments& prepared, const CallArguments& now) {
  const auto same = [](const DLTensor* a, const DLTensor* b) {
    return a == b || (a != nullptr && b != nullptr && a->data == b->data && a->byte_offset == b->byte_offset &&
                      a->ndim == b->ndim && std::equal(a->shape, a->shape + a->ndim, b->shape) &&
                      std::equal(a->strides, a->strides + a->ndim, b->strides));
  };
  if (!std::equal(prepared.in, prepared.in + prepared.n_in, now.in, same) ||
      !std::equal(prepared.out, prepared.out + prepared.n_out, now.out, same)) {
    throw Error(make_reason(ErrorCode::invalid_argument, "prepared",
                            fmt::format("layer `{}`: a tensor of a prepared call changed since it was prepared; call "
                                        "refresh() after such a change",
                                        type.name)));
  }
}

bool settle(const LayerRef& layer, ThreadRecord& thread, const BoundCall& binding, std::int32_t status) {
  struct Leave {
    ThreadRecord& thread;
    ~Leave() { thread.leave(); }
  } leave{thread};
  return !is_own_forward(layer, binding, status, thread.frame, "forward");
}

void throw_rank(const LayerType& type, std::int32_t rank) {
  throw Error(make_reason(
      ErrorCode::invalid_argument, "call",
      fmt::format("layer `{}`: a tensor has {} dimensions; at most {} are possible", type.name, rank, LH_MAX_RANK)));
}

void check_members_unchanged(const LayerRef& layer, ThreadRecord& thread, const BoundCall& binding) {
  if (&binding == &dispatch::own_forward_call) {
    return;
  }
  if (std::string changed = changed_member(layer, whole(binding)); !changed.empty()) {
    thread.leave();
    throw Error(make_reason(ErrorCode::invalid_argument, "members", std::move(changed)));
  }
}

}  // namespace layerhub::detail
