// SPDX-License-Identifier: Apache-2.0
// Which mapping is in force: one for the process, and for each thread a stack of scopes.
//
// The stack needs no container: each use_kernel_mapping object keeps what was in force outside it. What a call reads is
// an id, the thread's or the process'; the values behind the ids are looked at when a layer is bound.
#include "dispatch/epoch.hpp"
#include "dispatch/mapping_value.hpp"

#include <layerhub/detail/slot.hpp>

#include <algorithm>
#include <mutex>
#include <utility>

namespace layerhub {

namespace detail {
std::atomic<std::uint64_t> default_mapping{1};
}

namespace dispatch {
namespace {

using Value = std::shared_ptr<const MappingValue>;

Value first_value() {
  auto value = std::make_shared<MappingValue>();
  value->id = 1;
  return value;
}

struct ProcessMapping {
  std::mutex mutex;
  Value value = first_value();
};
ProcessMapping& process_mapping() {
  static ProcessMapping& instance = *new ProcessMapping;  // read by layers that die after main
  return instance;
}

thread_local Value scope_value;  // nullptr: the thread is in no scope

struct Combination {
  std::uint64_t base, added;
  bool inherit;
  Value result;
};
struct Combinations {
  std::mutex mutex;
  std::vector<Combination> recent;  // the newest last
};
constexpr std::size_t remembered_combinations = 64;

Value combine_anew(const Value& base, const Value& added, bool inherit) {
  auto value = std::make_shared<MappingValue>();
  if (inherit) {
    value->layers = base->layers;
    value->notes = base->notes;
  }
  value->id = next_mapping_id();
  for (const auto& [layer, devices] : added->layers) {
    for (const auto& [device, intervals] : devices) {
      for (const IntervalEntry& entry : intervals) {
        for (const auto& [mode, repository] : entry.modes) {
          value->add(layer, device, entry.interval, static_cast<Mode>(mode), repository);
        }
      }
    }
  }
  value->notes.insert(value->notes.end(), added->notes.begin(), added->notes.end());
  return value;
}

void set_scope(Value value) {
  detail::attached_thread().scope = value->id;
  scope_value = std::move(value);
}

}  // namespace

Value combine(const Value& base, const Value& added, bool inherit) {
  static Combinations& known = *new Combinations;
  std::lock_guard lock(known.mutex);
  const auto found = std::find_if(known.recent.begin(), known.recent.end(), [&](const Combination& c) {
    return c.base == (inherit ? base->id : 0) && c.added == added->id && c.inherit == inherit;
  });
  if (found != known.recent.end()) {
    std::rotate(found, found + 1, known.recent.end());
    return known.recent.back().result;
  }
  Value result = combine_anew(base, added, inherit);
  if (known.recent.size() == remembered_combinations) {
    known.recent.erase(known.recent.begin());
  }
  known.recent.push_back({inherit ? base->id : 0, added->id, inherit, result});
  return result;
}

Value current_mapping_value() {
  if (scope_value != nullptr) {
    return scope_value;
  }
  std::lock_guard lock(process_mapping().mutex);
  return process_mapping().value;
}

}  // namespace dispatch

void register_kernel_mapping(const Mapping& mapping, bool inherit_mapping) {
  if (dispatch::scope_value != nullptr) {
    dispatch::set_scope(dispatch::combine(dispatch::scope_value, mapping.value(), inherit_mapping));
    return;
  }
  dispatch::ProcessMapping& process = dispatch::process_mapping();
  std::lock_guard lock(process.mutex);
  process.value = dispatch::combine(process.value, mapping.value(), inherit_mapping);
  detail::default_mapping.store(process.value->id, std::memory_order_release);
}

Mapping current_kernel_mapping() { return Mapping(dispatch::current_mapping_value()); }

use_kernel_mapping::use_kernel_mapping(const Mapping& mapping, bool inherit_mapping) : outer_(dispatch::scope_value) {
  dispatch::set_scope(dispatch::combine(dispatch::current_mapping_value(), mapping.value(), inherit_mapping));
}

use_kernel_mapping::~use_kernel_mapping() {
  if (dispatch::is_attached()) {  // it is, but in a child that was forked inside the scope
    detail::this_thread->scope = outer_ == nullptr ? 0 : outer_->id;
  }
  dispatch::scope_value = std::move(outer_);
}

}  // namespace layerhub
