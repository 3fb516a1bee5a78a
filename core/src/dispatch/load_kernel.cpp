// SPDX-License-Identifier: Apache-2.0
// The decision chain: mapping, device, capability, mode, repository, library, signature, load, bind. Each step either
// goes on or gives a Reason; the policy says whether a Reason means the own forward or an Error. Everything up to the
// signature is decided from metadata; a library is opened when nothing else is left to refuse.
#include "base/log.hpp"
#include "base/os.hpp"
#include "device/cpu_device.hpp"
#include "device/device_types.hpp"
#include "dispatch/decision.hpp"
#include "dispatch/plugin_directories.hpp"
#include "hub/resolver.hpp"

#include <layerhub/kernel_function.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

namespace layerhub::dispatch {
namespace {

// What kind of refusal it is: the columns of Fallback's table.
enum class Refusal : std::uint8_t { missing, unsupported, failed };

struct Refused {
  Refusal kind;
  Reason reason;
};

bool falls_back(Fallback policy, Refusal refusal) {
  switch (policy) {
    case Fallback::never: return false;
    case Fallback::when_missing: return refusal == Refusal::missing;
    case Fallback::when_unsupported: return refusal != Refusal::failed;
    case Fallback::always: return true;
  }
  return false;
}

hub::RepositoryRef ref_of(const Repository& repository) {
  hub::RepositoryRef ref;
  if (const auto* hub_repository = std::get_if<LayerRepository>(&repository)) {
    ref.repo_id = hub_repository->repo_id;
    ref.revision = hub_repository->revision;
    ref.version = hub_repository->version;
  } else {
    ref.local = std::get<LocalLayerRepository>(repository).path;
  }
  return ref;
}

const std::string& layer_name_of(const Repository& repository) {
  return std::visit([](const auto& r) -> const std::string& { return r.layer_name; }, repository);
}

void warn_of_newer(const hub::Resolved& resolved) {
  static std::mutex mutex;
  static std::set<std::string>& said = *new std::set<std::string>;
  std::lock_guard lock(mutex);
  if (resolved.newer_version && said.insert(resolved.ref.text()).second) {
    log(LogLevel::warn, "{}: version {} is in use, a newer one is there: {}", resolved.ref.repo_id,
        *resolved.ref.version, *resolved.newer_version);
  }
}

class Chain {
 public:
  Chain(const Request& request, Decision& decision)
      : request_(request),
        type_(*request.layer.type),
        decision_(decision),
        device_name_(device_type_name(request.device)) {}

  // What the mapping says; nullptr and a refusal, or the entry.
  const RepositoryEntry* look_up() {
    const auto layer = request_.mapping->layers.find(type_.name);
    if (layer == request_.mapping->layers.end()) {
      std::vector<Fact> facts;
      for (const std::string& note : request_.mapping->notes) {
        facts.push_back({"", note});
      }
      refuse(
          Refusal::missing, ErrorCode::no_mapping, "mapping",
          fmt::format("No layer mapping for `{}`; register one, or drop a plugin that has it into a plugin directory",
                      type_.name),
          std::move(facts));
      return nullptr;
    }
    const auto device = layer->second.find(device_name_);
    if (device == layer->second.end()) {
      refuse(Refusal::missing, ErrorCode::no_mapping, "device",
             fmt::format("No layer mapping for `{}` with device type `{}`; map it for this device too", type_.name,
                         device_name_));
      return nullptr;
    }
    info_ = device_info(request_.device);
    const IntervalEntry* interval = narrowest(device->second, info_.capability);
    if (interval == nullptr) {
      refuse(Refusal::missing, ErrorCode::no_mapping, "capability",
             fmt::format("No layer mapping for `{}` device `{}` with the right properties; its capability is {}",
                         type_.name, device_name_, info_.capability));
      return nullptr;
    }
    for (const Mode mode : search_order(request_.mode)) {
      if (const auto entry = interval->modes.find(static_cast<std::uint32_t>(mode)); entry != interval->modes.end()) {
        registered_ = mode;
        decision_.passed("mapping", fmt::format("{} for {} with capability {}, registered for {}",
                                                ref_of(entry->second.repository).text(), device_name_, info_.capability,
                                                to_string(mode)) +
                                        (entry->second.automatic ? ", found automatically" : ""));
        return &entry->second;
      }
    }
    refuse(Refusal::missing, ErrorCode::no_mapping, "mode",
           fmt::format("No repository for `{}` for configuration mode={}; register one for it", type_.name,
                       to_string(request_.mode)));
    return nullptr;
  }

  // From a repository to a binding. The first refusal ends it.
  void load(const Repository& repository, const std::vector<hub::Root>& roots) {
    if (info_.capability == 0) {
      info_ = device_info(request_.device);
    }
    const hub::Resolver resolver(roots, device::system_facts());
    const Result<hub::Resolved> resolved = resolver.resolve(ref_of(repository), device_name_);
    if (!resolved) {
      return refuse(Refusal::failed, resolved.error());
    }
    warn_of_newer(resolved.value());
    decision_.passed("repository", resolved.value().folder.string());
    const hub::LibraryInfo* library = choose_library(resolved.value(), layer_name_of(repository));
    if (library == nullptr) {
      return;
    }
    const std::vector<Member> members = request_.layer.members(request_.layer.layer);
    bind_first(resolved.value(), *library, candidates(resolved.value(), *library, layer_name_of(repository), members),
               members);
  }

  std::optional<Refused>& refused() { return refused_; }

 private:
  static std::string device_type_name(Device device) {
    const device::DeviceType* type = device::find_device_type(device.type);
    return type == nullptr ? to_string(device) : std::string(type->name);
  }

  void refuse(Refusal kind, Reason reason) {
    decision_.refused(reason);
    refused_ = Refused{kind, std::move(reason)};
  }
  void refuse(Refusal kind, ErrorCode code, std::string_view rule, std::string text, std::vector<Fact> facts = {}) {
    refuse(kind, make_reason(code, rule, std::move(text), std::move(facts)));
  }

  // The best library of the variant that runs here and has the layer.
  const hub::LibraryInfo* choose_library(const hub::Resolved& resolved, const std::string& layer_name) {
    std::vector<Fact> facts;
    for (const hub::LibraryVerdict& verdict : hub::judge_libraries(resolved.metadata, device::system_facts())) {
      std::string reason = verdict.reason;
      if (reason.empty() && std::none_of(verdict.library->kernels.begin(), verdict.library->kernels.end(),
                                         [&](const hub::KernelInfo& k) { return k.layer == layer_name; })) {
        reason = fmt::format("has no kernel for `{}`", layer_name);
      }
      if (reason.empty()) {
        Step step{
            "library", true,
            fmt::format("{} of {} in {}", verdict.library->file, resolved.metadata.libraries.size(), resolved.variant),
            facts};
        decision_.steps.push_back(std::move(step));
        return verdict.library;
      }
      facts.push_back({verdict.library->file, reason});
    }
    refuse(Refusal::failed, ErrorCode::not_found, "library",
           fmt::format("{}: none of its {} libraries serves `{}` here; install another build or map another repository",
                       resolved.ref.text(), resolved.metadata.libraries.size(), layer_name),
           std::move(facts));
    return nullptr;
  }

  // The library's kernels that can serve this layer and request, as far as metadata can tell.
  std::vector<const hub::KernelInfo*> candidates(const hub::Resolved& resolved, const hub::LibraryInfo& library,
                                                 const std::string& layer_name, const std::vector<Member>& members) {
    std::vector<const hub::KernelInfo*> fitting;
    for (const hub::KernelInfo& kernel : library.kernels) {
      if (kernel.layer != layer_name) {
        continue;
      }
      if (const auto [kind, reason] = kernel_refusal(resolved, kernel, members); reason) {
        refuse(kind, *reason);
      } else {
        fitting.push_back(&kernel);
      }
    }
    return fitting;
  }

  std::pair<Refusal, std::optional<Reason>> kernel_refusal(const hub::Resolved& resolved, const hub::KernelInfo& kernel,
                                                           const std::vector<Member>& members) const {
    const std::string name = fmt::format("{}: kernel `{}`", resolved.ref.text(), kernel.implementation);
    if (kernel.device != device_name_ || kernel.min_capability > info_.capability ||
        (kernel.max_capability != 0 && kernel.max_capability < info_.capability)) {
      return {
          Refusal::failed,
          make_reason(ErrorCode::unsupported, "kernel",
                      fmt::format("{} is for {} with capability {} to {}, this is {} with {}; map another repository",
                                  name, kernel.device, kernel.min_capability,
                                  kernel.max_capability == 0 ? "any" : std::to_string(kernel.max_capability),
                                  device_name_, info_.capability))};
    }
    if (const Result<void> same = check_signature(type_, kernel, members); !same) {
      return {Refusal::failed, same.error()};
    }
    for (const Mode mode : {registered_, request_.mode}) {
      const bool supported =
          !(has(mode, Mode::training) && !kernel.has_backward) && !(has(mode, Mode::capture) && !kernel.can_capture());
      if (!supported) {
        return {
            mode == request_.mode && registered_ == Mode::fallback ? Refusal::unsupported : Refusal::failed,
            make_reason(ErrorCode::unsupported, "mode",
                        fmt::format("{}: Available kernel does not support mode: {}; register it for modes that it has",
                                    name, to_string(mode)))};
      }
    }
    return {Refusal::failed, std::nullopt};
  }

  void bind_first(const hub::Resolved& resolved, const hub::LibraryInfo& library,
                  const std::vector<const hub::KernelInfo*>& fitting, const std::vector<Member>& members) {
    if (fitting.empty()) {
      return;  // each was refused with its reason
    }
    decision_.passed("signature",
                     fmt::format("{} arguments and the members that the kernel asks for", type_.n_arguments));
    const Result<std::shared_ptr<const plugin::Plugin>> plugin = plugin::load_plugin(resolved, library);
    if (!plugin) {
      return refuse(Refusal::failed, plugin.error());
    }
    decision_.passed("load", plugin.value()->path().string());
    for (const hub::KernelInfo* info : fitting) {
      const auto& kernels = plugin.value()->descriptor().kernels;
      const auto kernel = std::find_if(kernels.begin(), kernels.end(), [&](const plugin::Kernel& k) {
        return k.layer == info->layer && k.implementation == info->implementation;
      });
      if (bind(plugin.value(), *kernel, members)) {
        return;
      }
    }
  }

  bool bind(const std::shared_ptr<const plugin::Plugin>& plugin, const plugin::Kernel& kernel,
            const std::vector<Member>& members) {
    for (const std::shared_ptr<const Binding>& known : request_.reusable) {
      if (known->plugin == plugin && known->kernel == &kernel && known->mode == request_.mode &&
          known->on == request_.device) {
        decision_.binding = known;
      }
    }
    if (decision_.binding == nullptr) {
      Result<std::shared_ptr<const Binding>> made = make_binding(type_, members, plugin, kernel, info_, request_.mode);
      if (!made) {
        refuse(Refusal::failed, made.error());
        return false;
      }
      decision_.binding = std::move(made).value();
    }
    refused_.reset();
    decision_.passed("bind", fmt::format("kernel `{}`", kernel.implementation));
    return true;
  }

  const Request& request_;
  const detail::LayerType& type_;
  Decision& decision_;
  std::string device_name_;
  DeviceInfo info_;
  Mode registered_ = Mode::fallback;
  std::optional<Refused> refused_;
};

bool disabled() {
  static const bool value = secure_environment("LAYERHUB_DISABLE").value_or("0") == "1";
  return value;
}

}  // namespace

void decide(const Request& request, Decision& decision) {
  decision.device = request.device;
  decision.mode = request.mode;
  decision.fallback = request.fallback;
  decision.mapping = request.mapping->id;
  if (disabled()) {
    decision.refused(
        make_reason(ErrorCode::no_mapping, "mapping", "LAYERHUB_DISABLE=1: every layer runs its own forward"));
    return;
  }
  Chain chain(request, decision);
  Fallback policy = request.fallback.value_or(Fallback::when_unsupported);
  if (const RepositoryEntry* entry = chain.look_up()) {
    policy = request.fallback.value_or(entry->automatic ? Fallback::always : Fallback::when_unsupported);
    chain.load(entry->repository, hub::plugin_roots(entry->roots != nullptr ? *entry->roots : explicit_roots()));
  }
  if (!chain.refused()) {
    return;
  }
  const Refused& refused = *chain.refused();
  if (!falls_back(policy, refused.kind)) {
    Reason reason = refused.reason;
    if (refused.kind != Refusal::missing && !reason.text.starts_with("layer `")) {
      reason.text = fmt::format("layer `{}` on {}, {}: {}", request.layer.type->name, to_string(request.device),
                                to_string(request.mode), reason.text);
    }
    throw Error(std::move(reason));
  }
  if (refused.kind == Refusal::failed) {
    log(LogLevel::warn, "layer `{}` runs its own forward: {}", request.layer.type->name, refused.reason.text);
  }
}

void decide_function(const detail::LayerRef& function, const Repository& repository, Device device,
                     Decision& decision) {
  decision.device = device;
  const Request request{function, device, Mode::inference, Fallback::never, nullptr, {}};
  Chain chain(request, decision);
  chain.load(repository, hub::plugin_roots(explicit_roots()));
  if (chain.refused()) {
    throw Error(chain.refused()->reason);
  }
}

}  // namespace layerhub::dispatch

namespace layerhub {

bool has_kernel(const Repository& repository, Device device) {
  const hub::RepositoryRef ref = dispatch::ref_of(repository);
  hub::check_repository_ref(ref).value();
  const hub::Resolver resolver(hub::plugin_roots(dispatch::explicit_roots()), device::system_facts());
  const device::DeviceType* type = device::find_device_type(device.type);
  const Result<hub::Resolved> resolved = resolver.resolve(ref, type == nullptr ? "" : type->name);
  if (!resolved) {
    return false;
  }
  const std::string& name = dispatch::layer_name_of(repository);
  for (const hub::LibraryVerdict& verdict : hub::judge_libraries(resolved.value().metadata, device::system_facts())) {
    for (const hub::KernelInfo& kernel : verdict.library->kernels) {
      if (verdict.reason.empty() && kernel.layer == name) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace layerhub
