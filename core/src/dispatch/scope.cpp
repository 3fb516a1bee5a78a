// SPDX-License-Identifier: Apache-2.0
// Which mapping is in force: one for the process, and for each thread a stack of scopes.
//
// The stack needs no container: each scope object keeps what was in force outside it. What a call reads is an id, the
// thread's or the process'; the values behind the ids are looked at when a layer is bound.
#include "base/reason.hpp"
#include "dispatch/epoch.hpp"
#include "dispatch/mapping_value.hpp"
#include "dispatch/modes.hpp"

#include <layerhub/detail/slot.hpp>
#include <layerhub/error.hpp>

#include <fmt/format.h>

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

// Values that were made of others, found again by what they were made of.
struct Made {
  std::uint64_t base, added;
  bool inherit;
  CallOptions options;
  Value result;
};
struct Memory {
  std::mutex mutex;
  std::vector<Made> recent;  // the newest last
};
constexpr std::size_t remembered_values = 64;

template <class Make>
Value remembered(std::uint64_t base, std::uint64_t added, bool inherit, const CallOptions& options, Make&& make) {
  static Memory& known = *new Memory;
  std::lock_guard lock(known.mutex);
  const auto found = std::find_if(known.recent.begin(), known.recent.end(), [&](const Made& m) {
    return m.base == base && m.added == added && m.inherit == inherit && m.options == options;
  });
  if (found != known.recent.end()) {
    std::rotate(found, found + 1, known.recent.end());
    return known.recent.back().result;
  }
  std::shared_ptr<MappingValue> result = make();
  result->id = next_mapping_id();
  result->options = options;
  if (known.recent.size() == remembered_values) {
    known.recent.erase(known.recent.begin());
  }
  known.recent.push_back({base, added, inherit, options, result});
  return result;
}

std::shared_ptr<MappingValue> both(const MappingValue* base, const MappingValue& added) {
  auto value = base == nullptr ? std::make_shared<MappingValue>() : std::make_shared<MappingValue>(*base);
  for (const auto& [layer, devices] : added.layers) {
    for (const auto& [device, intervals] : devices) {
      for (const IntervalEntry& entry : intervals) {
        for (const auto& [mode, repository] : entry.modes) {
          value->add(layer, device, entry.interval, static_cast<Mode>(mode), repository);
        }
      }
    }
  }
  value->notes.insert(value->notes.end(), added.notes.begin(), added.notes.end());
  return value;
}

void check_options(const CallOptions& options) {
  if (const std::string fault = request_fault(options.mode); !fault.empty()) {
    throw Error(make_reason(ErrorCode::invalid_argument, "mode",
                            fmt::format("call options: the mode {}: {}", to_string(options.mode), fault)));
  }
}

// The thread's scope, or the process' context, becomes what `change` makes of it.
template <class Change>
void change_context(Change&& change) {
  if (scope_value != nullptr) {
    Value changed = change(scope_value);
    detail::attached_thread().scope = changed->id;
    scope_value = std::move(changed);
    return;
  }
  ProcessMapping& process = process_mapping();
  std::lock_guard lock(process.mutex);
  process.value = change(process.value);
  detail::default_mapping.store(process.value->id, std::memory_order_release);
}

}  // namespace

Value combine(const Value& base, const Value& added, bool inherit) {
  const bool is_base_empty = !inherit || (base->layers.empty() && base->notes.empty());
  if (is_base_empty && added->options == base->options) {
    return added;
  }
  if (inherit && added->layers.empty() && added->notes.empty()) {
    return base;
  }
  return remembered(inherit ? base->id : 0, added->id, inherit, base->options,
                    [&] { return both(inherit ? base.get() : nullptr, *added); });
}

Value with_options(const Value& base, const CallOptions& options) {
  if (base->options == options) {
    return base;
  }
  return remembered(base->id, 0, true, options, [&] { return std::make_shared<MappingValue>(*base); });
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
  dispatch::change_context(
      [&](const auto& context) { return dispatch::combine(context, mapping.value(), inherit_mapping); });
}

void register_call_options(const CallOptions& options) {
  dispatch::check_options(options);
  dispatch::change_context([&](const auto& context) { return dispatch::with_options(context, options); });
}

Mapping current_kernel_mapping() { return Mapping(dispatch::current_mapping_value()); }

CallOptions current_call_options() { return dispatch::current_mapping_value()->options; }

namespace detail {

Scope::Scope(std::shared_ptr<const dispatch::MappingValue> context) {
  attached_thread().scope = context == nullptr ? 0 : context->id;
  outer_ = std::exchange(dispatch::scope_value, std::move(context));
}

Scope::~Scope() {
  if (dispatch::is_attached()) {  // it is, but in a child that was forked inside the scope
    this_thread->scope = outer_ == nullptr ? 0 : outer_->id;
  }
  dispatch::scope_value = std::move(outer_);
}

}  // namespace detail

use_kernel_mapping::use_kernel_mapping(const Mapping& mapping, bool inherit_mapping)
    : Scope(dispatch::combine(dispatch::current_mapping_value(), mapping.value(), inherit_mapping)) {}

use_call_options::use_call_options(const CallOptions& options)
    : Scope((dispatch::check_options(options), dispatch::with_options(dispatch::current_mapping_value(), options))) {}

CapturedScope capture_scope() {
  CapturedScope captured;
  captured.context_ = dispatch::scope_value;
  return captured;
}

}  // namespace layerhub
