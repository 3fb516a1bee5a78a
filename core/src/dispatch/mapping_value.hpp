// SPDX-License-Identifier: Apache-2.0
// What a Mapping holds: layer -> device type -> capability interval -> mode -> repository. Immutable once it has an id;
// what a scope sees is a value of its own, made from the outer one and the new entries.
#pragma once

#include "base/result.hpp"
#include "hub/mapping_file.hpp"

#include <layerhub/mapping.hpp>
#include <layerhub/scope.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::dispatch {

struct RepositoryEntry {
  Repository repository;
  bool automatic = false;                                   // made by automatic_mapping: falls back by default
  std::shared_ptr<const std::vector<std::string>> roots{};  // where an automatic entry was found; nullptr: the usual
  std::optional<hub::Pin> pin{};                            // of a lock
};

struct IntervalEntry {
  CapabilityInterval interval;
  std::map<std::uint32_t, RepositoryEntry> modes;  // by Mode's bits
};

using DeviceEntries = std::map<std::string, std::vector<IntervalEntry>, std::less<>>;

// With its options it is also the context of a call: what a thread is in is one such value.
struct MappingValue {
  std::uint64_t id = 0;  // unique in the process; 0 is never used
  CallOptions options{};
  std::map<std::string, DeviceEntries, std::less<>> layers;
  std::vector<std::string> notes;  // for explain: where automatic_mapping looked and which plugins it left out

  // Adds one mode of one interval; the same mode of an equal interval is replaced, its other modes stay.
  void add(std::string_view layer, std::string_view device, CapabilityInterval interval, Mode mode,
           RepositoryEntry entry);
};

// Throws Error(invalid_argument) for what no mapping may hold: see Mapping.
void check_entry(const std::string& layer, const MappedDevice& device, Mode mode, const Repository& repository);

// An id that no value has had.
std::uint64_t next_mapping_id() noexcept;

// The narrowest interval that contains the capability; of two equally wide ones the one that starts lower, whatever the
// order in which they were added. nullptr: none contains it. A narrower interval hides a wider one even where it has no
// usable mode.
const IntervalEntry* narrowest(const std::vector<IntervalEntry>& intervals, std::uint32_t capability) noexcept;

// `base` (or nothing) and then `added`, as one value, with the options of `base`. The same two values give the same id
// again as long as it is remembered, so that a scope that is entered for each request finds its layers bound.
// [thread-safe]
std::shared_ptr<const MappingValue> combine(const std::shared_ptr<const MappingValue>& base,
                                            const std::shared_ptr<const MappingValue>& added, bool inherit);

// The same mapping with other options; remembered as above. [thread-safe]
std::shared_ptr<const MappingValue> with_options(const std::shared_ptr<const MappingValue>& base,
                                                 const CallOptions& options);

// In force for the calling thread. Never nullptr. [thread-safe]
std::shared_ptr<const MappingValue> current_mapping_value();

}  // namespace layerhub::dispatch
