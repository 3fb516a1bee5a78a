// SPDX-License-Identifier: Apache-2.0
// The decision chain for one layer: its own wish, the selection for its name, then signature, modes, load and bind.
// Each step either goes on or gives a Reason; the policy says whether a Reason means the own forward or an Error. A
// library is opened when nothing else is left to refuse.
#include "base/event.hpp"
#include "base/log.hpp"
#include "base/os.hpp"
#include "device/cpu_device.hpp"
#include "device/device_table.hpp"
#include "dispatch/decision.hpp"

#include <layerhub/kernel_function.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

namespace layerhub::dispatch {
namespace {

class Chain {
 public:
  // plugin: the selection's library where it is open already; set when it is opened here.
  Chain(const Request& request, Decision& decision, std::shared_ptr<const plugin::Plugin>& plugin)
      : request_(request), decision_(decision), plugin_(plugin) {}

  // From a selection to a binding, or what refused it.
  std::optional<Refused> run() {
    if (selection().refused) {
      return selection().refused;
    }
    members_ = request_.layer.members(request_.layer.layer);
    for (const hub::KernelInfo* kernel : selection().kernels) {
      if (fits(*kernel) && (plugin_ != nullptr || load()) && bind(*kernel)) {
        return std::nullopt;
      }
    }
    return std::move(refused_);
  }

 private:
  const Selection& selection() const { return *decision_.selection; }

  bool fits(const hub::KernelInfo& kernel) {
    const detail::LayerType& type = *request_.layer.type;
    if (const Result<void> same = check_signature(type, kernel, members_); !same) {
      return refuse(Refusal::failed, same.error());
    }
    // A kernel that lacks what it was registered for is an error; one that lacks what is asked for now falls back.
    if (!supports(kernel, selection().registered)) {
      return refuse(Refusal::failed, lacks(kernel, selection().registered));
    }
    return supports(kernel, request_.mode) || refuse(Refusal::unsupported, lacks(kernel, request_.mode));
  }

  Reason lacks(const hub::KernelInfo& kernel, Mode mode) const {
    return make_reason(ErrorCode::unsupported, "mode",
                       fmt::format("{}: kernel `{}`: Available kernel does not support mode: {}; register it for modes "
                                   "that it has",
                                   selection().ref.text(), kernel.implementation, to_string(mode)));
  }

  bool load() {
    Result<std::shared_ptr<const plugin::Plugin>> loaded =
        plugin::load_plugin(*selection().resolved, *selection().library);
    if (!loaded) {
      return refuse(Refusal::failed, loaded.error());
    }
    plugin_ = std::move(loaded).value();
    return true;
  }

  bool bind(const hub::KernelInfo& info) {
    const auto& kernels = plugin_->descriptor().kernels;
    const auto kernel = std::find_if(kernels.begin(), kernels.end(), [&](const plugin::Kernel& k) {
      return k.layer == info.layer && k.implementation == info.implementation;
    });
    for (const std::shared_ptr<const Binding>& known : request_.reusable) {
      if (known->plugin == plugin_ && known->kernel == &*kernel && known->mode == request_.mode &&
          known->on == request_.device) {
        decision_.binding = known;
        return true;
      }
    }
    Result<std::shared_ptr<const Binding>> made =
        make_binding(*request_.layer.type, members_, plugin_, *kernel, selection().device, request_.mode);
    if (!made) {
      return refuse(Refusal::failed, made.error());
    }
    decision_.binding = std::move(made).value();
    return true;
  }

  // Of several refusals the last one stands for the decision, but for one that says what a kernel is not made for when
  // another has failed; explain() has them all.
  bool refuse(Refusal kind, Reason reason) {
    decision_.own_steps.push_back({reason.rule, false, reason.text, reason.facts});
    if (!refused_ || reason.code != ErrorCode::unsupported || refused_->reason.code == ErrorCode::unsupported) {
      refused_ = Refused{kind, std::move(reason)};
    }
    return false;
  }

  const Request& request_;
  Decision& decision_;
  std::shared_ptr<const plugin::Plugin>& plugin_;
  std::vector<Member> members_;
  std::optional<Refused> refused_;
};

bool is_disabled() {
  static const bool value = secure_environment("LAYERHUB_DISABLE").value_or("0") == "1";
  return value;
}

// Why this layer runs its own forward whatever is mapped; nullptr: it does not.
const char* own_reason(const detail::LayerRef& layer) {
  if (is_disabled()) {
    return "LAYERHUB_DISABLE=1: every layer runs its own forward";
  }
  return layer.keeps_own_forward == nullptr ? nullptr : layer.keeps_own_forward(layer.layer);
}

Fallback policy_of(const Request& request, const Selection& selection) {
  return request.fallback.value_or(selection.automatic ? Fallback::always : Fallback::when_unsupported);
}

// A model's two hundred layers of one name say it once.
void log_once(LogLevel level, const std::string& line) {
  static std::mutex mutex;
  static std::set<std::string>& said = *new std::set<std::string>;
  std::lock_guard lock(mutex);
  if (log_enabled(level) && said.insert(line).second) {
    log_line(level, line);
  }
}

void settle_refusal(const Request& request, const Selection& selection, const Refused& refused) {
  const std::string_view layer = request.layer.type->name;
  const bool is_held = selection.pinned && refused.kind == Refusal::failed;
  if (is_held || !falls_back(policy_of(request, selection), refused.kind)) {
    Reason reason = refused.reason;
    if (refused.kind != Refusal::missing && !reason.text.starts_with("layer `")) {
      reason.text = fmt::format("layer `{}` on {}, {}: {}", layer, to_string(request.device), to_string(request.mode),
                                reason.text);
    }
    throw Error(std::move(reason));
  }
  // Who kernelizes expects kernels; a call may well be of a layer that nobody mapped.
  const bool is_expected =
      refused.kind == Refusal::failed || (refused.reason.rule == "mapping" && request.selections != nullptr);
  log_once(is_expected ? LogLevel::warn : LogLevel::info,
           fmt::format("layer `{}` runs its own forward: {}", layer, refused.reason.text));
}

std::optional<Refused> run_chain(const Request& request, Decision& decision) {
  decision.device = request.device;
  decision.mode = request.mode;
  decision.fallback = request.fallback;
  decision.mapping = request.mapping->id;
  if (const char* reason = own_reason(request.layer)) {
    decision.own_steps.push_back({"own", false, reason});
    return std::nullopt;
  }
  SelectionCache for_this_layer;
  SelectionCache& selections = request.selections != nullptr ? *request.selections : for_this_layer;
  SelectionCache::Known& known =
      selections.select(request.layer.type->name, request.device, request.mode, *request.mapping);
  decision.selection = known.selection;
  return Chain(request, decision, known.plugin).run();
}

}  // namespace

void examine(const Request& request, Decision& decision) { run_chain(request, decision); }

void decide(const Request& request, Decision& decision) {
  if (const std::optional<Refused> refused = run_chain(request, decision)) {
    settle_refusal(request, *decision.selection, *refused);
  }
  if (has_event_hook()) {
    const Step* refusal = decision.last_refusal();
    const bool is_bound = decision.binding != nullptr;
    notify({is_bound ? EventKind::bound : EventKind::fell_back, request.layer.type->name, to_string(request.device),
            is_bound             ? decision.served_by()
            : refusal == nullptr ? ""
                                 : refusal->text});
  }
}

void decide_function(const detail::LayerRef& function, const Repository& repository, Device device,
                     Decision& decision) {
  decision.device = device;
  decision.selection = select_from(repository, device);
  const Request request{function, device, Mode::inference, Fallback::never, nullptr, {}, nullptr};
  std::shared_ptr<const plugin::Plugin> plugin;
  if (std::optional<Refused> refused = Chain(request, decision, plugin).run()) {
    throw Error(std::move(refused->reason));
  }
}

std::string Decision::served_by() const {
  return binding == nullptr
             ? "own forward"
             : fmt::format("{}@{}: {}", binding->plugin->repo(), binding->plugin->revision(), binding->kernel_name());
}

std::vector<Step> Decision::steps() const {
  std::vector<Step> all;
  if (selection != nullptr) {
    all = selection->steps;
  }
  all.insert(all.end(), own_steps.begin(), own_steps.end());
  if (binding != nullptr) {
    all.push_back({"signature", true,
                   fmt::format("{} arguments and the members that the kernel asks for", binding->n_host_arguments)});
    all.push_back({"load", true, binding->plugin->path().string()});
    all.push_back({"bind", true, fmt::format("kernel `{}`", binding->kernel_name())});
  }
  return all;
}

const Step* Decision::last_refusal() const {
  for (const std::vector<Step>* steps : {&own_steps, selection != nullptr ? &selection->steps : &own_steps}) {
    const auto found = std::find_if(steps->rbegin(), steps->rend(), [](const Step& step) { return !step.passed; });
    if (found != steps->rend()) {
      return &*found;
    }
  }
  return nullptr;
}

}  // namespace layerhub::dispatch

namespace layerhub {

bool has_kernel(const Repository& repository, Device device) {
  const hub::RepositoryRef ref = dispatch::ref_of(repository);
  hub::check_repository_ref(ref).value();
  const std::string type = dispatch::device_type_name(device);
  const hub::Resolver resolver(hub::plugin_roots(hub::explicit_roots()), device::facts_for(type));
  const Result<hub::Resolved> resolved = resolver.resolve(ref, type);
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
