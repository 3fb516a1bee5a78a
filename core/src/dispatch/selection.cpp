// SPDX-License-Identifier: Apache-2.0
#include "dispatch/selection.hpp"

#include "base/log.hpp"
#include "base/os.hpp"
#include "base/sha256.hpp"
#include "device/cpu_device.hpp"
#include "device/device_table.hpp"
#include "device/device_types.hpp"
#include "hub/resolution_cache.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <mutex>
#include <set>

namespace layerhub::dispatch {
namespace {

// What an operator should hear of a repository, once for each.
void say_once(const hub::Resolved& resolved) {
  static std::mutex mutex;
  static std::set<std::string>& said = *new std::set<std::string>;
  std::vector<std::string> lines = resolved.notes;
  if (resolved.newer_version) {
    lines.push_back(fmt::format("{}: version {} is in use, a newer one is there: {}", resolved.ref.repo_id,
                                *resolved.ref.version, *resolved.newer_version));
  }
  std::lock_guard lock(mutex);
  for (const std::string& line : lines) {
    if (said.insert(line).second) {
      log(LogLevel::warn, "{}", line);
    }
  }
}

// Whether nobody but automatic_mapping has mapped the layer.
bool is_automatic(const DeviceEntries& devices) {
  for (const auto& [device, intervals] : devices) {
    for (const IntervalEntry& interval : intervals) {
      for (const auto& [mode, entry] : interval.modes) {
        if (!entry.automatic) {
          return false;
        }
      }
    }
  }
  return true;
}

// Each step adds to the selection and goes on, or refuses.
class Selector {
 public:
  Selector(std::string_view layer, Device device, hub::RootCache& roots)
      : layer_(layer), device_(device_type_name(device)), roots_(roots) {
    selection_->device.device = device;
  }

  std::shared_ptr<const Selection> under(const MappingValue& mapping, Mode mode) {
    if (const RepositoryEntry* entry = look_up(mapping, mode)) {
      selection_->automatic = entry->automatic;
      resolve(*entry);
    }
    return selection_;
  }

  std::shared_ptr<const Selection> from(const RepositoryEntry& entry, Mode registered) {
    selection_->device = device::capabilities_of(selection_->device.device);
    selection_->registered = registered;
    selection_->automatic = entry.automatic;
    resolve(entry);
    return selection_;
  }

 private:
  const RepositoryEntry* look_up(const MappingValue& mapping, Mode mode) {
    const DeviceEntries* devices = find_layer(mapping);
    const std::vector<IntervalEntry>* intervals = devices == nullptr ? nullptr : find_device(*devices);
    const IntervalEntry* interval = intervals == nullptr ? nullptr : find_interval(*intervals);
    return interval == nullptr ? nullptr : find_mode(*interval, mode);
  }

  const DeviceEntries* find_layer(const MappingValue& mapping) {
    const auto layer = mapping.layers.find(layer_);
    if (layer != mapping.layers.end()) {
      return &layer->second;
    }
    std::vector<Fact> facts;
    for (const std::string& note : mapping.notes) {
      facts.push_back({"", note});
    }
    refuse(Refusal::missing, ErrorCode::no_mapping, "mapping",
           fmt::format("No layer mapping for `{}`; register one, or drop a plugin that has it into a plugin directory",
                       layer_),
           std::move(facts));
    return nullptr;
  }

  const std::vector<IntervalEntry>* find_device(const DeviceEntries& devices) {
    const auto device = devices.find(device_);
    if (device != devices.end()) {
      return &device->second;
    }
    refuse(Refusal::missing, ErrorCode::no_mapping, "device",
           fmt::format("No layer mapping for `{}` with device type `{}`; {}", layer_, device_,
                       is_automatic(devices) ? "install a variant of its plugin for this device"
                                             : "map it for this device too"));
    return nullptr;
  }

  // A device that is not there, or lost, is an error whatever the policy.
  bool ask_device() {
    try {
      selection_->device = device::capabilities_of(selection_->device.device);
      return true;
    } catch (const Error& error) {
      Reason reason = error.reason();
      reason.text = fmt::format("layer `{}`: {}", layer_, reason.text);
      refuse(Refusal::no_device, std::move(reason));
      return false;
    }
  }

  const IntervalEntry* find_interval(const std::vector<IntervalEntry>& intervals) {
    if (!ask_device()) {
      return nullptr;
    }
    const IntervalEntry* interval = narrowest(intervals, selection_->device.capability);
    if (interval == nullptr) {
      refuse(Refusal::missing, ErrorCode::no_mapping, "capability",
             fmt::format("No layer mapping for `{}` device `{}` with the right properties; its capability is {}",
                         layer_, device_, selection_->device.capability));
    }
    return interval;
  }

  const RepositoryEntry* find_mode(const IntervalEntry& interval, Mode request) {
    for (const Mode mode : search_order(request)) {
      if (const auto entry = interval.modes.find(static_cast<std::uint32_t>(mode)); entry != interval.modes.end()) {
        selection_->registered = mode;
        pass("mapping", fmt::format("{} for {} with capability {}, registered for {}{}",
                                    ref_of(entry->second.repository).text(), device_, selection_->device.capability,
                                    mode == Mode::fallback ? "every mode" : to_string(mode),
                                    entry->second.automatic ? ", found automatically" : ""));
        return &entry->second;
      }
    }
    refuse(Refusal::missing, ErrorCode::no_mapping, "mode",
           fmt::format("No repository for `{}` for configuration mode={}; register one for it", layer_,
                       to_string(request)));
    return nullptr;
  }

  void resolve(const RepositoryEntry& entry) {
    selection_->pinned = entry.pin.has_value();
    selection_->ref = ref_of(entry.repository);
    selection_->layer_name = layer_name_of(entry.repository);
    const hub::Resolver resolver(roots_.of(entry.roots != nullptr ? *entry.roots : hub::explicit_roots()),
                                 device::facts_for(device_));
    const hub::DeviceFacts facts{selection_->device.capability, selection_->device.arch};
    Result<std::shared_ptr<const hub::Resolved>> resolved =
        hub::resolve_cached(resolver, selection_->ref, device_, &facts);
    if (!resolved) {
      return refuse(Refusal::failed, resolved.error());
    }
    selection_->resolved = std::move(resolved).value();
    say_once(*selection_->resolved);
    std::vector<Fact> notes;
    for (const std::string& note : selection_->resolved->notes) {
      notes.push_back({"", note});
    }
    pass("repository", selection_->resolved->folder.string(), std::move(notes));
    if (choose_library() && choose_kernels() && entry.pin) {
      check_pin(*entry.pin);
    }
  }

  // The best library of the variant that runs here and has the layer.
  bool choose_library() {
    const hub::Resolved& resolved = *selection_->resolved;
    std::vector<Fact> facts;
    for (const hub::LibraryVerdict& verdict : hub::judge_libraries(resolved.metadata, device::system_facts())) {
      std::string reason = verdict.reason;
      if (reason.empty() && std::none_of(verdict.library->kernels.begin(), verdict.library->kernels.end(),
                                         [&](const hub::KernelInfo& k) { return k.layer == selection_->layer_name; })) {
        reason = fmt::format("has no kernel for `{}`", selection_->layer_name);
      }
      if (reason.empty()) {
        selection_->library = verdict.library;
        pass("library",
             fmt::format("{} of {} in {}", verdict.library->file, resolved.metadata.libraries.size(), resolved.variant),
             std::move(facts));
        return true;
      }
      facts.push_back({verdict.library->file, reason});
    }
    refuse(Refusal::failed, ErrorCode::not_found, "library",
           fmt::format("{}: none of its {} libraries serves `{}` here; install another build or map another repository",
                       resolved.ref.text(), resolved.metadata.libraries.size(), selection_->layer_name),
           std::move(facts));
    return false;
  }

  // A lock is kept to the letter: the first thing that is not what was locked refuses.
  void check_pin(const hub::Pin& pin) {
    std::vector<std::string> kernels;
    for (const hub::KernelInfo* kernel : selection_->kernels) {
      kernels.push_back(kernel->implementation);
    }
    const auto differs = [&](const char* what, const std::string& here, const std::string& locked) {
      if (here != locked) {
        refuse(Refusal::failed, ErrorCode::unsupported, "lock",
               fmt::format("{}: its {} is `{}`, the lock says `{}`; install what was locked, or lock again",
                           selection_->ref.text(), what, printable(here), printable(locked)),
               {{what, here}, {"locked", locked}});
      }
      return here != locked;
    };
    if (differs("variant", selection_->resolved->variant, pin.variant) ||
        differs("library", selection_->library->file, pin.library)) {
      return;
    }
    const Result<std::string> digest = digest_of(*selection_);
    if (!digest) {
      return refuse(Refusal::failed, digest.error());
    }
    if (!differs("digest", digest.value(), pin.digest) &&
        !differs("kernels", fmt::format("{}", fmt::join(kernels, ", ")),
                 fmt::format("{}", fmt::join(pin.kernels, ", ")))) {
      pass("lock", digest.value());
    }
  }

  bool choose_kernels() {
    const std::uint32_t capability = selection_->device.capability;
    std::vector<Fact> facts;
    for (const hub::KernelInfo& kernel : selection_->library->kernels) {
      if (kernel.layer != selection_->layer_name) {
        continue;
      }
      if (kernel.device == device_ && kernel.min_capability <= capability &&
          (kernel.max_capability == 0 || kernel.max_capability >= capability)) {
        selection_->kernels.push_back(&kernel);
      } else {
        facts.push_back({kernel.implementation,
                         fmt::format("is for {} with capability {} to {}", kernel.device, kernel.min_capability,
                                     kernel.max_capability == 0 ? "any" : std::to_string(kernel.max_capability))});
      }
    }
    if (selection_->kernels.empty()) {
      refuse(Refusal::failed, ErrorCode::unsupported, "kernel",
             fmt::format("{}: no kernel of `{}` is for {} with capability {}; map another repository",
                         selection_->ref.text(), selection_->layer_name, device_, capability),
             std::move(facts));
    }
    return !selection_->kernels.empty();
  }

  void pass(std::string rule, std::string text, std::vector<Fact> facts = {}) {
    selection_->steps.push_back({std::move(rule), true, std::move(text), std::move(facts)});
  }
  void refuse(Refusal kind, Reason reason) {
    selection_->steps.push_back({reason.rule, false, reason.text, reason.facts});
    selection_->refused = Refused{kind, std::move(reason)};
  }
  void refuse(Refusal kind, ErrorCode code, std::string_view rule, std::string text, std::vector<Fact> facts = {}) {
    refuse(kind, make_reason(code, rule, std::move(text), std::move(facts)));
  }

  std::string_view layer_;
  std::string device_;
  hub::RootCache& roots_;
  std::shared_ptr<Selection> selection_ = std::make_shared<Selection>();
};

}  // namespace

std::shared_ptr<const Selection> select_from(const Repository& repository, Device device) {
  hub::RootCache roots;
  return Selector(layer_name_of(repository), device, roots).from({repository}, Mode::fallback);
}

std::shared_ptr<const Selection> select_entry(const RepositoryEntry& entry, std::string_view layer, Device device,
                                              Mode registered) {
  hub::RootCache roots;
  return Selector(layer, device, roots).from(entry, registered);
}

Result<std::string> digest_of(const Selection& selection) {
  constexpr std::size_t max_library_bytes = std::size_t{1} << 30;
  BOOST_OUTCOME_TRY(const std::string bytes,
                    read_file(selection.resolved->folder / selection.library->file, max_library_bytes));
  return sha256_of(bytes);
}

SelectionCache::Known& SelectionCache::select(std::string_view layer, Device device, Mode mode,
                                              const MappingValue& mapping) {
  for (Known& known : known_) {
    if (known.layer == layer && known.device == device && known.mode == mode) {
      return known;
    }
  }
  return known_.emplace_back(Known{layer, device, mode, Selector(layer, device, roots_).under(mapping, mode)});
}

hub::RepositoryRef ref_of(const Repository& repository) {
  hub::RepositoryRef ref;
  if (const auto* hub_repository = std::get_if<LayerRepository>(&repository)) {
    ref.repo_id = hub_repository->repo_id;
    ref.revision = hub_repository->revision;
    ref.version = hub_repository->version;
  } else if (const auto* local = std::get_if<LocalLayerRepository>(&repository)) {
    ref.local = local->path;
  } else {
    const auto& locked = std::get<LockedLayerRepository>(repository);
    ref.repo_id = locked.repo_id;
    ref.lock_file = locked.lock_file;
  }
  return ref;
}

const std::string& layer_name_of(const Repository& repository) {
  return std::visit([](const auto& r) -> const std::string& { return r.layer_name; }, repository);
}

std::string device_type_name(Device device) {
  const device::DeviceType* type = device::find_device_type(device.type);
  return type == nullptr ? to_string(device) : std::string(type->name);
}

}  // namespace layerhub::dispatch
