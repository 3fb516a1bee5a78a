// SPDX-License-Identifier: Apache-2.0
#include "dispatch/candidates.hpp"

#include "plugin/library.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace layerhub::dispatch {
namespace {

struct Verdict {
  std::string rule, text;  // rule empty: not refused so far
};

class Listing {
 public:
  Listing(std::string_view layer, Device device, Mode mode, const Selection* selection, const hub::Resolver& resolver)
      : layer_(selection != nullptr && !selection->layer_name.empty() ? selection->layer_name : layer),
        device_(device_type_name(device)),
        mode_(mode),
        selection_(selection),
        resolver_(resolver) {
    if (selection == nullptr) {
      try {
        capability_ = device_info(device).capability;
      } catch (const Error& error) {  // why each kernel for this device is refused
        no_device_ = error.reason().text;
      }
    } else {
      capability_ = selection->device.capability;
    }
  }

  std::vector<Candidate> run() {
    const std::vector<hub::Found> found = resolver_.scan();
    for (const hub::Found& plugin : found) {
      newest_[plugin.repo_id] = plugin.revision;  // scan() sorts versions by number
    }
    for (const hub::Found& plugin : found) {
      if (plugin.metadata) {
        add_plugin(plugin);
      }
    }
    return std::move(all_);
  }

 private:
  void add_plugin(const hub::Found& plugin) {
    const Verdict by_plugin = judge_plugin(plugin);
    bool is_chosen = false;  // the loader takes the best library that has the layer, and looks at no other after it
    for (const hub::LibraryVerdict& verdict : hub::judge_libraries(plugin.metadata.value(), resolver_.facts())) {
      Verdict by_library = by_plugin;
      if (by_library.rule.empty() && !verdict.reason.empty()) {
        by_library = {"library", verdict.reason};
      } else if (by_library.rule.empty() && is_chosen) {
        by_library = {"library", "a library for a higher level is chosen"};
      }
      bool has_layer = false;
      for (const hub::KernelInfo& kernel : verdict.library->kernels) {
        if (kernel.layer == layer_) {
          add(plugin, *verdict.library, kernel,
              by_library.rule.empty() ? judge_kernel(plugin, verdict, kernel) : by_library);
          has_layer = true;
        }
      }
      is_chosen |= has_layer && by_library.rule.empty();
    }
  }

  Verdict judge_plugin(const hub::Found& plugin) const {
    if (selection_ != nullptr) {
      if (selection_->resolved == nullptr) {
        return {selection_->refused->reason.rule, selection_->refused->reason.text};
      }
      if (!is_named(plugin)) {
        return {"mapping", fmt::format("the mapping names {}", selection_->ref.text())};
      }
      if (plugin.misfit.empty() && selection_->resolved->folder != plugin.folder) {
        return {"variant", fmt::format("{} fits better", selection_->resolved->variant)};
      }
    }
    if (!plugin.misfit.empty()) {
      return {"variant", plugin.misfit};
    }
    if (selection_ == nullptr && newest_.at(plugin.repo_id) != plugin.revision) {
      return {"version", fmt::format("{} is newer", newest_.at(plugin.repo_id))};
    }
    return {};
  }

  // In any of its variants.
  bool is_named(const hub::Found& plugin) const {
    const hub::Resolved& resolved = *selection_->resolved;
    return resolved.folder == plugin.folder ||
           (!selection_->ref.local && resolved.metadata.repo == plugin.repo_id &&
            resolved.metadata.revision == plugin.revision);
  }

  Verdict judge_kernel(const hub::Found& plugin, const hub::LibraryVerdict& library,
                       const hub::KernelInfo& kernel) const {
    if (kernel.device != device_) {
      return {"device", fmt::format("is for {}", kernel.device)};
    }
    if (!no_device_.empty()) {
      return {"device", no_device_};
    }
    if (kernel.min_capability > capability_ || (kernel.max_capability != 0 && kernel.max_capability < capability_)) {
      return {"capability",
              fmt::format("is for capability {} to {}, this has {}", kernel.min_capability,
                          kernel.max_capability == 0 ? "any" : std::to_string(kernel.max_capability), capability_)};
    }
    const Mode registered = selection_ == nullptr ? Mode::fallback : selection_->registered;
    for (const Mode mode : {registered, mode_}) {
      if (!supports(kernel, mode)) {
        return {"mode", fmt::format("does not support {}", to_string(mode))};
      }
    }
    if (const auto inspected = plugin::inspect_library(plugin.folder / library.library->file); !inspected) {
      return {"load", inspected.error().text};
    }
    if (selection_ != nullptr && selection_->refused) {
      return {selection_->refused->reason.rule, selection_->refused->reason.text};
    }
    return {};
  }

  void add(const hub::Found& plugin, const hub::LibraryInfo& library, const hub::KernelInfo& kernel, Verdict verdict) {
    const bool accepted = verdict.rule.empty();
    all_.push_back({plugin.repo_id, plugin.revision, plugin.variant, library.file, kernel.implementation, accepted,
                    accepted ? "serves" : std::move(verdict.rule), accepted ? "serves" : std::move(verdict.text)});
  }

  std::string layer_, device_;
  std::string no_device_;  // empty: there is one
  Mode mode_;
  const Selection* selection_;
  const hub::Resolver& resolver_;
  std::uint32_t capability_ = 0;
  std::map<std::string, std::string> newest_;
  std::vector<Candidate> all_;
};

}  // namespace

std::vector<Candidate> list_candidates(std::string_view layer, Device device, Mode mode, const Selection* selection,
                                       const hub::Resolver& resolver) {
  return Listing(layer, device, mode, selection, resolver).run();
}

Json to_json(const Candidate& c) {
  return {{"plugin", c.repo_id + "@" + c.revision},
          {"variant", c.variant},
          {"library", c.library},
          {"kernel", c.kernel},
          {"accepted", c.accepted},
          {"rule", c.rule},
          {"text", c.text}};
}

}  // namespace layerhub::dispatch
