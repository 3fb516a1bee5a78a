// SPDX-License-Identifier: Apache-2.0
#include "dispatch/layer_state.hpp"

#include "dispatch/epoch.hpp"
#include "plugin/host_services.hpp"

#include <layerhub/detail/call.hpp>
#include <layerhub/kernelize.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

namespace layerhub {
namespace dispatch {
namespace {

// A host that enters ever new mappings must not grow its tables without end.
constexpr std::size_t max_rows = 8;

struct OwnedTable : detail::DispatchTable {
  std::vector<detail::DispatchRow> storage;
  std::vector<std::shared_ptr<const Binding>> held;
};

OwnedTable* make_table(const detail::LayerState& state) {
  auto table = std::make_unique<OwnedTable>();
  for (const Decision& row : state.rows) {
    table->storage.push_back({detail::device_key(row.tensors), row.mapping, row.binding.get()});
    table->held.push_back(row.binding);
  }
  table->rows = table->storage.data();
  table->n_rows = static_cast<std::uint32_t>(table->storage.size());
  return table.release();
}

const OwnedTable* owned(const detail::DispatchTable* table) {
  return table == &detail::empty_table ? nullptr : static_cast<const OwnedTable*>(table);
}

}  // namespace

bool is_own_memory(const Decision& decision) {
  return decision.tensors.device_type == decision.device.type && decision.tensors.device_id == decision.device.ordinal;
}

detail::LayerState& state_of(const detail::LayerRef& layer) {
  std::atomic<detail::LayerState*>& slot = layer.slot->state();
  detail::LayerState* state = slot.load(std::memory_order_acquire);
  if (state == nullptr) {
    auto fresh = std::make_unique<detail::LayerState>();
    if (slot.compare_exchange_strong(state, fresh.get(), std::memory_order_acq_rel, std::memory_order_acquire)) {
      state = fresh.release();
    }
  }
  return *state;
}

void put_row(detail::LayerState& state, Decision decision) {
  // A kernelized row also replaces those of other memory that computes on its device.
  const bool kernelized = decision.mapping == detail::any_mapping && is_own_memory(decision);
  std::erase_if(state.rows, [&](const Decision& row) {
    return row.mapping == decision.mapping &&
           (kernelized ? row.device == decision.device
                       : detail::device_key(row.tensors) == detail::device_key(decision.tensors));
  });
  const auto first_unkernelized = std::find_if(state.rows.begin(), state.rows.end(),
                                               [](const Decision& row) { return row.mapping != detail::any_mapping; });
  state.rows.insert(decision.mapping == detail::any_mapping ? state.rows.begin() : first_unkernelized,
                    std::move(decision));
  if (state.rows.size() > max_rows) {
    state.rows.pop_back();
  }
}

void publish(const detail::LayerRef& layer, detail::LayerState& state) {
  const detail::DispatchTable* fresh = state.rows.empty() ? &detail::empty_table : make_table(state);
  const OwnedTable* old = owned(layer.slot->published().exchange(fresh, std::memory_order_seq_cst));
  if (old != nullptr) {
    retire([old] { delete old; });
  }
}

std::vector<std::shared_ptr<const Binding>> bindings_of(const detail::LayerState& state) {
  std::vector<std::shared_ptr<const Binding>> bindings;
  for (const Decision& row : state.rows) {
    if (row.binding != nullptr) {
      bindings.push_back(row.binding);
    }
  }
  return bindings;
}

}  // namespace dispatch

namespace detail {

const DispatchTable empty_table{};

void LayerSlot::destroy(LayerState* state, const DispatchTable* table) noexcept {
  delete dispatch::owned(table);  // no call is in flight, by the contract of destroying a layer
  delete state;
}

void bind_for_call(const LayerRef& layer, DLDevice device) {
  const std::shared_ptr<const dispatch::MappingValue> mapping = dispatch::current_mapping_value();
  const Device folded = Device::of(device);
  LayerState& state = dispatch::state_of(layer);
  std::lock_guard lock(state.mutex);
  const DispatchTable& table = layer.slot->table();
  if (find_row(table, device_key(device), mapping->id) != nullptr) {
    return;  // another thread was faster
  }
  dispatch::Decision decision;
  const auto kernelized = std::find_if(state.rows.begin(), state.rows.end(), [&](const dispatch::Decision& row) {
    return row.mapping == any_mapping && row.device == folded;
  });
  if (layer.type->is_function && kernelized == state.rows.end()) {
    throw Error(make_reason(
        ErrorCode::unsupported, "device",
        fmt::format("kernel function `{}`: it was not made for {}, where its first tensor is; ask get_kernel "
                    "for one that is",
                    layer.type->name, to_string(folded))));
  }
  if (kernelized != state.rows.end()) {
    decision = *kernelized;  // pinned memory, say: what serves its device serves it too
  } else {
    try {
      dispatch::decide({layer, folded, Mode::inference, {}, mapping, dispatch::bindings_of(state)}, decision);
    } catch (...) {
      state.refused = std::move(decision);
      throw;
    }
  }
  decision.tensors = device;
  dispatch::put_row(state, std::move(decision));
  dispatch::publish(layer, state);
}

void note_refused(const BoundCall& call, std::uint32_t constraint) noexcept {
  const auto& binding = static_cast<const dispatch::Binding&>(call);
  binding.refused.fetch_add(1, std::memory_order_relaxed);
  binding.last_refused.store(constraint + 1, std::memory_order_relaxed);
}

void note_declined(const BoundCall& call) noexcept {
  static_cast<const dispatch::Binding&>(call).declined.fetch_add(1, std::memory_order_relaxed);
}

void throw_kernel_failure(const LayerRef& layer, const BoundCall& call, std::int32_t status, const CallFrame& frame) {
  const auto& binding = static_cast<const dispatch::Binding&>(call);
  constexpr std::string_view names[] = {"ok",          "declined", "invalid",    "out of memory",
                                        "unsupported", "internal", "device lost"};
  const std::string_view name =
      status >= 0 && static_cast<std::size_t>(status) < std::size(names) ? names[status] : "unknown";
  const std::string said =
      printable({frame.text, std::min<std::size_t>(frame.error.length, sizeof frame.text)}, sizeof frame.text);
  throw Error(make_reason(ErrorCode::kernel_failed, "forward",
                          fmt::format("layer `{}`: kernel `{}` of {}@{} failed ({}){}{}; its outputs are undefined",
                                      layer.type->name, binding.kernel_name(), binding.plugin->repo(),
                                      binding.plugin->revision(), name, said.empty() ? "" : ": ", said),
                          {{"status", std::to_string(status)}, {"library", binding.plugin->path().string()}}));
}

void throw_rank(const LayerType& type, std::int32_t rank) {
  throw Error(make_reason(
      ErrorCode::invalid_argument, "call",
      fmt::format("layer `{}`: a tensor has {} dimensions; at most {} are possible", type.name, rank, LH_MAX_RANK)));
}

void check_members_unchanged(const LayerRef& layer, const BoundCall& call) {
  const auto& binding = static_cast<const dispatch::Binding&>(call);
  const std::vector<Member> now = layer.members(layer.layer);
  const bool owned = (binding.kernel->functions.traits & LH_TRAIT_OWNS_PARAMS) != 0;  // the host's may be gone
  const auto same = [&](const Member& a, const Member& b) {
    return a.name == b.name && a.is_param == b.is_param &&
           (a.is_param ? owned || (a.tensor.data == b.tensor.data && a.shape == b.shape) : a.value == b.value);
  };
  if (!std::equal(now.begin(), now.end(), binding.members.begin(), binding.members.end(), same)) {
    throw Error(
        make_reason(ErrorCode::invalid_argument, "members",
                    fmt::format("layer `{}`: a weight's memory or shape or an attribute changed since it was bound; "
                                "call layerhub::rebind(layer) after such a change",
                                layer.type->name)));
  }
}

void prepare_frame(CallFrame& frame) noexcept {
  std::memset(static_cast<void*>(&frame), 0, sizeof frame);
  frame.call.struct_size = sizeof frame.call;
  frame.call.mode = LH_MODE_INFERENCE;
  frame.call.host = &plugin::host_services();
  frame.call.in = frame.in;
  frame.call.out = frame.out;
  frame.call.scalars = frame.scalars;
  frame.error = {sizeof frame.error, 0, frame.text, sizeof frame.text, 0};
}

void release_frame(CallFrame& frame) noexcept {
  std::free(frame.call.workspace);
  frame.call.workspace = nullptr;
  frame.call.workspace_size = 0;
}

}  // namespace detail
}  // namespace layerhub
