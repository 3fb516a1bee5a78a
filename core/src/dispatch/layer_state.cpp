// SPDX-License-Identifier: Apache-2.0
#include "dispatch/layer_state.hpp"

#include "dispatch/epoch.hpp"
#include "dispatch/run_call.hpp"

#include <layerhub/detail/call.hpp>
#include <layerhub/kernelize.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace layerhub {
namespace dispatch {
namespace {

// A host that enters ever new mappings must not grow its tables without end.
constexpr std::size_t max_rows = 8;

struct OwnedTable : detail::DispatchTable {
  std::vector<detail::DispatchRow> storage;
  std::vector<std::shared_ptr<const Binding>> held;
};

std::uint64_t next_serial() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

detail::DispatchRow row_of(const Decision& decision) {
  return {detail::device_key(decision.tensors), decision.mapping,
          decision.binding != nullptr ? decision.binding.get() : &own_forward_call};
}

OwnedTable* make_table(const detail::LayerState& state) {
  auto table = std::make_unique<OwnedTable>();
  table->storage.reserve(state.rows.size());
  table->held.reserve(state.rows.size());
  for (const Decision& row : state.rows) {
    table->storage.push_back(row_of(row));
    table->held.push_back(row.binding);
  }
  table->first = table->storage.front();
  table->more = table->storage.data() + 1;
  table->n_more = static_cast<std::uint32_t>(table->storage.size()) - 1;
  table->serial = next_serial();
  return table.release();
}

const OwnedTable* owned(const detail::DispatchTable* table) {
  return table == &detail::empty_table ? nullptr : static_cast<const OwnedTable*>(table);
}

bool is_table_of(const detail::DispatchTable* table, const detail::LayerState& state) {
  const OwnedTable* rows = owned(table);
  return rows != nullptr && std::equal(rows->storage.begin(), rows->storage.end(), state.rows.begin(), state.rows.end(),
                                       [](const detail::DispatchRow& row, const Decision& decision) {
                                         const detail::DispatchRow now = row_of(decision);
                                         return row.device == now.device && row.mapping == now.mapping &&
                                                row.binding == now.binding;
                                       });
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

ReplacedTables::~ReplacedTables() {
  if (!tables_.empty()) {
    retire([tables = std::move(tables_)] {
      for (const detail::DispatchTable* table : tables) {
        delete owned(table);
      }
    });
  }
}

void publish(const detail::LayerRef& layer, detail::LayerState& state, ReplacedTables& replaced) {
  if (is_table_of(layer.slot->published().load(std::memory_order_relaxed), state)) {
    return;
  }
  const detail::DispatchTable* fresh = state.rows.empty() ? &detail::empty_table : make_table(state);
  const detail::DispatchTable* old = layer.slot->published().exchange(fresh, std::memory_order_seq_cst);
  if (owned(old) != nullptr) {
    replaced.add(old);
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

const detail::DispatchRow* find_row(const detail::DispatchTable& table, DLDevice device, std::uint64_t mapping) {
  const std::uint64_t key = detail::device_key(device);
  const auto serves = [&](const detail::DispatchRow& row) {
    return row.device == key && (row.mapping == mapping || row.mapping == detail::any_mapping);
  };
  if (serves(table.first)) {
    return &table.first;
  }
  const auto found = std::find_if(table.more, table.more + table.n_more, serves);
  return found == table.more + table.n_more ? nullptr : found;
}

void bind_for_call(const detail::LayerRef& layer, DLDevice device, const std::shared_ptr<const MappingValue>& mapping) {
  const Device folded = Device::of(device);
  ReplacedTables replaced;  // retired after the mutex is free: what that destroys is the plugin's
  detail::LayerState& state = state_of(layer);
  std::lock_guard lock(state.mutex);
  if (find_row(layer.slot->table(), device, mapping->id) != nullptr) {
    return;  // another thread was faster
  }
  Decision decision;
  const auto kernelized = std::find_if(state.rows.begin(), state.rows.end(), [&](const Decision& row) {
    return row.mapping == detail::any_mapping && row.device == folded;
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
      decide({layer, folded, mapping->options.mode, mapping->options.fallback, mapping, bindings_of(state)}, decision);
    } catch (...) {
      state.refused = std::move(decision);
      throw;
    }
  }
  decision.tensors = device;
  put_row(state, std::move(decision));
  publish(layer, state, replaced);
}

}  // namespace dispatch

namespace detail {

// A row that no tensor's device matches.
const DispatchTable empty_table{{~std::uint64_t{0}, any_mapping, &dispatch::own_forward_call}};

void LayerSlot::destroy(LayerState* state, const DispatchTable* table) noexcept {
  delete dispatch::owned(table);  // no call is in flight, by the contract of destroying a layer
  delete state;
  dispatch::collect();  // what was replaced under calls that have ended since: no later replacement may come
}

}  // namespace detail
}  // namespace layerhub
