// SPDX-License-Identifier: Apache-2.0
// One host layer's side of the slot: its decisions, the rows that are published, and how they are replaced.
//
// Everything here is the control path and under the layer's mutex. A change makes a new table, publishes it with one
// store and retires the old one with the bindings that only it held.
#pragma once

#include "dispatch/decision.hpp"

#include <layerhub/detail/slot.hpp>

#include <mutex>
#include <optional>
#include <vector>

namespace layerhub::detail {

struct LayerState {
  std::mutex mutex;
  std::vector<dispatch::Decision> rows;       // behind the published table, kernelized ones first, then the newest
  std::optional<dispatch::Decision> refused;  // the last decision that ended in an Error
};

}  // namespace layerhub::detail

namespace layerhub::dispatch {

// The layer's state, made at the first need. [thread-safe]
detail::LayerState& state_of(const detail::LayerRef& layer);

// Whether the row is for tensors of the device itself, not for another kind of memory that computes there.
bool is_own_memory(const Decision& decision);

// Puts a decision in front: in the place of one for the same device and mapping, or new. With the state's mutex held.
void put_row(detail::LayerState& state, Decision decision);

// Tables that one pass over many layers replaces: retired together when it ends, since each retirement interrupts every
// core that runs a thread of this process.
class ReplacedTables {
 public:
  ReplacedTables() = default;
  ReplacedTables(const ReplacedTables&) = delete;
  ReplacedTables& operator=(const ReplacedTables&) = delete;
  ~ReplacedTables();
  void add(const detail::DispatchTable* table) { tables_.push_back(table); }

 private:
  std::vector<const detail::DispatchTable*> tables_;
};

// Publishes the rows as they are now; what was published before goes to `replaced`. What says the same already stays.
// With the state's mutex held.
void publish(const detail::LayerRef& layer, detail::LayerState& state, ReplacedTables& replaced);

// The row for the device under the mapping, or nullptr. The caller has entered its thread's record.
const detail::DispatchRow* find_row(const detail::DispatchTable& table, DLDevice device, std::uint64_t mapping);

// Decides for the device in a context and publishes the row, unless another thread was faster. Throws Error as the
// policy says.
void bind_for_call(const detail::LayerRef& layer, DLDevice device, const std::shared_ptr<const MappingValue>& context);

// Bindings of the layer that a new decision may come to again.
std::vector<std::shared_ptr<const Binding>> bindings_of(const detail::LayerState& state);

}  // namespace layerhub::dispatch
