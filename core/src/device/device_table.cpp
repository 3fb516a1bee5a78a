// SPDX-License-Identifier: Apache-2.0
#include "device/device_table.hpp"

#include "base/log.hpp"
#include "device/cpu_device.hpp"
#include "device/device_types.hpp"
#include "hub/resolver.hpp"
#include "hub/roots.hpp"
#include "plugin/plugin.hpp"

#include <layerhub/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

namespace layerhub {
namespace device {
namespace {

struct Table {
  std::mutex mutex;
  std::map<DLDeviceType, Runtime*> runtimes;                     // never destroyed
  std::vector<std::shared_ptr<const plugin::Plugin>> libraries;  // theirs, open for good: drivers keep threads in them
  std::vector<std::string> allowed{"layerhub/device-*"};
};
Table& table() {
  static Table& instance = *new Table;
  return instance;
}

bool is_allowed(const std::vector<std::string>& patterns, std::string_view repo) {
  return std::any_of(patterns.begin(), patterns.end(), [&](std::string_view pattern) {
    return pattern.ends_with('*') ? repo.starts_with(pattern.substr(0, pattern.size() - 1)) : repo == pattern;
  });
}

// A library that says in its metadata that it brings a runtime of the type.
struct Offer {
  hub::Resolved resolved;
  hub::LibraryInfo library;
};

// What brings a runtime of one type, and what might have.
struct Offers {
  std::vector<Offer> usable;
  std::optional<Reason> unusable;  // of the repository that is named for the type
};

// Of each allowed repository the newest version, or main where it has no versions.
Offers offers_for(std::string_view type_name, const std::vector<std::string>& allowed) {
  const hub::Resolver resolver(hub::plugin_roots(hub::explicit_roots()), system_facts());
  Offers offers;
  for (const std::string& repo : resolver.repositories()) {
    if (!is_allowed(allowed, repo)) {
      continue;
    }
    const std::vector<int> versions = resolver.versions(repo);
    hub::RepositoryRef ref;
    ref.repo_id = repo;
    ref.revision = versions.empty() ? "main" : fmt::format("v{}", versions.back());
    Result<hub::Resolved> resolved = resolver.resolve(ref, "cpu");
    if (!resolved) {
      log(LogLevel::warn, "{}: not usable as a device plugin: {}", repo, resolved.error().text);
      if (repo.ends_with(fmt::format("/device-{}", type_name))) {
        offers.unusable = resolved.error();
      }
      continue;
    }
    for (const hub::LibraryVerdict& verdict : hub::judge_libraries(resolved.value().metadata, system_facts())) {
      if (verdict.reason.empty() && verdict.library->runtime == type_name) {
        offers.usable.push_back({resolved.value(), *verdict.library});
        break;
      }
    }
  }
  return offers;
}

// With the table's mutex held.
Result<std::unique_ptr<Runtime>> open_runtime(const Offer& offer, DLDeviceType type) {
  BOOST_OUTCOME_TRY(const std::shared_ptr<const plugin::Plugin> opened,
                    plugin::load_plugin(offer.resolved, offer.library));
  const lh_device_1* offered = opened->descriptor().runtime;
  if (offered == nullptr || offered->device_type != static_cast<std::int32_t>(type)) {
    return make_reason(ErrorCode::bad_metadata, "runtime",
                       fmt::format("{}: its library does not bring the runtime that metadata.json promises; install it "
                                   "again",
                                   offer.resolved.ref.text()));
  }
  table().libraries.push_back(opened);
  return Runtime::make(*offered, offer.resolved.ref.text());
}

Result<Runtime*> look_for_runtime(DLDeviceType type, const std::vector<std::string>& allowed) {
  const DeviceType* known = find_device_type(type);
  if (type == kDLCPU) {
    return make_reason(ErrorCode::unsupported, "device", "it has no runtime, and needs none; name another device");
  }
  if (known == nullptr) {
    return make_reason(ErrorCode::unsupported, "device",
                       fmt::format("no plugin can bring a runtime for devices of this type; name one of {}",
                                   known_device_types(Known::to_tensors)));
  }
  const std::string name(known->name);
  const auto [offers, unusable] = offers_for(name, allowed);
  if (offers.empty() && unusable) {
    return *unusable;
  }
  if (offers.empty()) {
    return make_reason(ErrorCode::unsupported, "device",
                       fmt::format("no runtime for {} devices is installed; put the plugin layerhub/device-{} into a "
                                   "plugin directory",
                                   name, name),
                       {{"searched", hub::describe_roots(hub::plugin_roots(hub::explicit_roots()))},
                        {"allowed", fmt::format("{}", fmt::join(allowed, ", "))}});
  }
  if (offers.size() > 1) {
    return make_reason(ErrorCode::ambiguous, "device",
                       fmt::format("both {} and {} bring a runtime for {} devices; remove one, or name the other in "
                                   "set_device_plugins",
                                   offers[0].resolved.ref.text(), offers[1].resolved.ref.text(), name));
  }
  BOOST_OUTCOME_TRY(std::unique_ptr<Runtime> runtime, open_runtime(offers.front(), type));
  log(LogLevel::info, "{}: {} {} devices{}{}", runtime->name(), runtime->count(), name,
      runtime->count() == 0 ? ": " : "", runtime->count() == 0 ? runtime->why_none() : "");
  return runtime.release();
}

}  // namespace

Result<Runtime*> find_runtime(DLDeviceType type) {
  type = fold(type);
  std::lock_guard lock(table().mutex);  // held while a plugin opens: whoever asks at the same time waits for it
  if (const auto found = table().runtimes.find(type); found != table().runtimes.end()) {
    return found->second;
  }
  BOOST_OUTCOME_TRY(Runtime * runtime, look_for_runtime(type, table().allowed));
  table().runtimes[type] = runtime;
  return runtime;
}

DeviceState& find_device(Device device) {
  const Result<Runtime*> runtime = find_runtime(device.type);
  if (!runtime) {
    Reason reason = runtime.error();
    reason.text = fmt::format("device {}: {}", to_string(device), reason.text);
    throw Error(std::move(reason));
  }
  if (DeviceState* state = runtime.value()->find(device.ordinal)) {
    return *state;
  }
  const std::uint32_t count = runtime.value()->count();
  throw Error(make_reason(ErrorCode::unsupported, "device",
                          count == 0 ? fmt::format("device {}: there is none of its type: {}", to_string(device),
                                                   runtime.value()->why_none())
                                     : fmt::format("device {}: it is not there; {} has {}, with ordinals from 0",
                                                   to_string(device), runtime.value()->name(), count)));
}

hub::SystemFacts facts_for(std::string_view device_type) {
  hub::SystemFacts facts = system_facts();
  const DeviceType* type = find_device_type(device_type);
  if (type != nullptr && type->version != nullptr) {
    if (const Result<Runtime*> runtime = find_runtime(type->code)) {
      facts.*type->version = runtime.value()->version();
    }
  }
  return facts;
}

hub::SystemFacts facts_for_listing() {
  hub::SystemFacts facts = system_facts();
  facts.runtimes_unasked = true;
  return facts;
}

DeviceInfo capabilities_of(Device device) {
  device = Device::of({device.type, device.ordinal});
  if (device == Device::cpu()) {
    const hub::SystemFacts& facts = system_facts();
    return {device, facts.cpu_capability, {}, fmt::format("{}", fmt::join(facts.cpu_features, ",")), {}};
  }
  DeviceState& state = find_device(device);
  return state.runtime.info(state);
}

// A host that has lost a device looks for another one.
static DeviceInfo info_or_loss(Device device) {
  try {
    return device_info(device);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::device_lost) {
      throw;
    }
    return {.device = device, .name = error.what(), .features = {}};
  }
}

}  // namespace device

DeviceInfo device_info(Device device) {
  DeviceInfo info = device::capabilities_of(device);
  if (info.device == Device::cpu()) {
    info.name = device::processor_name();
  }
  return info;
}

DeviceList list_devices(DLDeviceType type) {
  const DLDeviceType folded = device::fold(type);
  if (folded == kDLCPU) {
    return {{device_info(Device::cpu())}, {}};
  }
  const Result<device::Runtime*> runtime = device::find_runtime(folded);
  if (!runtime) {
    return {{}, runtime.error().text};
  }
  DeviceList list;
  for (std::uint32_t i = 0; i < runtime.value()->count(); ++i) {
    list.devices.push_back(device::info_or_loss({folded, static_cast<std::int32_t>(i)}));
  }
  if (list.devices.empty()) {
    list.reason = runtime.value()->why_none();
  }
  return list;
}

void* native_handle(Device device, const char* what) {
  device::DeviceState& state = device::find_device(device);
  void* handle = nullptr;
  device::ask(state, fmt::format("asking for its `{}`", what), [&](const lh_device_1& runtime, lh_error* error) {
    return runtime.native == nullptr ? std::int32_t{LH_UNSUPPORTED}
                                     : runtime.native(static_cast<std::uint32_t>(device.ordinal), what, &handle, error);
  });
  return handle;
}

void set_device_plugins(std::vector<std::string> repositories) {
  std::lock_guard lock(device::table().mutex);
  device::table().allowed = std::move(repositories);
}

}  // namespace layerhub
