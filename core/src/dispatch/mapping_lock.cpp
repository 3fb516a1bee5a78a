// SPDX-License-Identifier: Apache-2.0
// Mappings that go to a file and come from one, and locking: a mapping's entries with what they come to here.
#include "base/os.hpp"
#include "base/reason.hpp"
#include "device/cpu_device.hpp"
#include "device/device_table.hpp"
#include "device/device_types.hpp"
#include "dispatch/selection.hpp"
#include "hub/lock_file.hpp"
#include "hub/roots.hpp"

#include <fmt/format.h>

namespace layerhub {
namespace {

using dispatch::MappingValue;
using dispatch::RepositoryEntry;
using hub::MappingRow;

constexpr std::size_t max_file_bytes = std::size_t{1} << 20;

struct Entry {
  MappingRow row;
  RepositoryEntry entry;
};

std::vector<Entry> entries_of(const MappingValue& value) {
  std::vector<Entry> entries;
  for (const auto& [layer, devices] : value.layers) {
    for (const auto& [device, intervals] : devices) {
      for (const dispatch::IntervalEntry& interval : intervals) {
        for (const auto& [mode, entry] : interval.modes) {
          entries.push_back({{layer,
                              device,
                              interval.interval,
                              static_cast<Mode>(mode),
                              entry.repository,
                              entry.automatic,
                              entry.pin,
                              {}},
                             entry});
        }
      }
    }
  }
  return entries;
}

void check_row(const MappingRow& row, const MappedDevice& device) {
  try {
    dispatch::check_entry(row.layer, device, row.mode, row.repository);
  } catch (const Error& error) {
    Reason reason = error.reason();
    reason.text = fmt::format("{}{}{}", row.place, row.place.empty() ? "" : ": ", reason.text);
    throw Error(std::move(reason));
  }
}

Mapping mapping_of(std::vector<MappingRow> rows) {
  auto value = std::make_shared<MappingValue>();
  for (MappingRow& row : rows) {
    MappedDevice device(row.device);
    device.interval = row.interval;
    check_row(row, device);
    value->add(row.layer, row.device, row.interval, row.mode,
               RepositoryEntry{std::move(row.repository), row.automatic, nullptr, std::move(row.pin)});
  }
  value->id = dispatch::next_mapping_id();
  return Mapping(std::move(value));
}

hub::Pin pin_of(const dispatch::Selection& selection) {
  hub::Pin pin{selection.resolved->variant, selection.library->file, dispatch::digest_of(selection).value(), {}};
  for (const hub::KernelInfo* kernel : selection.kernels) {
    pin.kernels.push_back(kernel->implementation);
  }
  return pin;
}

// The revision that was found takes the place of a version or a lock file; a path stays what it is.
Repository found_repository(const dispatch::Selection& selection) {
  if (selection.ref.local) {
    return LocalLayerRepository{selection.resolved->folder.string(), selection.layer_name};
  }
  const hub::RepositoryRef& ref = selection.resolved->ref;
  return LayerRepository{.repo_id = ref.repo_id, .layer_name = selection.layer_name, .revision = ref.revision_folder()};
}

// nothing: the entry is for a device that is not here, or an automatic one that can't serve.
std::optional<MappingRow> locked(MappingRow row, const RepositoryEntry& entry) {
  const device::DeviceType* type = device::find_device_type(row.device);
  if (type == nullptr || !type->has_code) {
    return std::nullopt;
  }
  const Device device{type->code, 0};
  DeviceInfo info;
  try {
    info = device_info(device);
  } catch (const Error&) {
    return std::nullopt;
  }
  if (info.capability < row.interval.min_capability || info.capability > row.interval.max_capability) {
    return std::nullopt;
  }
  const auto selection = dispatch::select_entry(entry, row.layer, device, row.mode);
  if (selection->refused) {
    if (row.automatic) {
      return std::nullopt;
    }
    throw Error(selection->refused->reason);
  }
  row.repository = found_repository(*selection);
  row.pin = pin_of(*selection);
  return row;
}

}  // namespace

Mapping parse_mapping(std::string_view text, std::string_view name) {
  return mapping_of(hub::parse_mapping_file(text, name).value());
}

Mapping read_mapping(const std::string& path) {
  return parse_mapping(read_file(path, max_file_bytes).value(), printable(path, 400));
}

std::string format_mapping(const Mapping& mapping) {
  std::vector<MappingRow> rows;
  for (Entry& entry : entries_of(*mapping.value())) {
    rows.push_back(std::move(entry.row));
  }
  return hub::write_mapping_file(rows);
}

void write_mapping(const Mapping& mapping, const std::string& path) {
  write_file(path, format_mapping(mapping)).value();
}

namespace {

// The commit that serves an entry: its folder's name, or what the build's provenance says.
std::pair<hub::Dependency, std::string> hub_lock_of(const LayerRepository& repository) {
  const hub::RepositoryRef ref = dispatch::ref_of(repository);
  const hub::Resolver resolver(hub::plugin_roots(hub::explicit_roots()), device::system_facts());
  const hub::Resolved resolved = resolver.resolve(ref, "cpu").value();
  const std::string commit = hub::is_commit(resolved.ref.revision) ? resolved.ref.revision : resolved.metadata.commit;
  if (!hub::is_commit(commit)) {
    throw Error(make_reason(ErrorCode::not_found, "lock",
                            fmt::format("{}: neither its folder nor its provenance names a commit, which the Hub's "
                                        "lock needs; use the lock of layerhub",
                                        ref.text())));
  }
  return {{repository.repo_id, repository.version, repository.version ? "" : repository.revision}, commit};
}

}  // namespace

std::string format_hub_lock(const Mapping& mapping) {
  hub::HubLocks locks;
  for (const Entry& entry : entries_of(*mapping.value())) {
    if (const auto* repository = std::get_if<LayerRepository>(&entry.row.repository)) {
      locks.insert(hub_lock_of(*repository));
    }
  }
  return hub::write_lock_file(locks);
}

Mapping lock_mapping(const Mapping& mapping) {
  std::vector<MappingRow> rows;
  for (Entry& entry : entries_of(*mapping.value())) {
    if (std::optional<MappingRow> pinned = locked(std::move(entry.row), entry.entry)) {
      rows.push_back(std::move(*pinned));
    }
  }
  return mapping_of(std::move(rows));
}

}  // namespace layerhub
