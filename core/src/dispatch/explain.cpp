// SPDX-License-Identifier: Apache-2.0
// A layer's decisions, rendered for people and as JSON.
#include "base/json.hpp"
#include "dispatch/layer_state.hpp"

#include <layerhub/explain.hpp>

#include <fmt/format.h>
#include <boost/core/demangle.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace layerhub {

namespace dispatch {

std::string text_of(const std::vector<Step>& steps) {
  std::string text;
  for (const Step& step : steps) {
    text += fmt::format("  {} {:<11} {}\n", step.passed ? "+" : "-", step.rule, step.text);
    for (const Fact& fact : step.facts) {
      text += fmt::format("      {}{}{}\n", fact.name, fact.name.empty() ? "" : ": ", fact.value);
    }
  }
  return text;
}

Json json_of(const std::vector<Step>& steps) {
  Json list = Json::array();
  for (const Step& step : steps) {
    Json facts = Json::array();
    for (const Fact& fact : step.facts) {
      facts.push_back({{"name", fact.name}, {"value", fact.value}});
    }
    list.push_back(
        {{"rule", step.rule}, {"outcome", step.passed ? "passed" : "refused"}, {"text", step.text}, {"facts", facts}});
  }
  return list;
}

namespace {

std::string under(const Decision& decision, std::uint64_t current) {
  if (decision.mapping == detail::any_mapping) {
    return "kernelized";
  }
  return decision.mapping == current ? "the mapping in force" : "another mapping or for training";
}

std::string counts_of(const Binding& binding) {
  std::string text;
  if (const std::uint64_t refused = binding.refused.load()) {
    text += fmt::format("  calls on the own forward, since a constraint did not hold: {}; the last: {}\n", refused,
                        binding.constraints.describe(binding.last_refused.load() - 1));
  }
  if (const std::uint64_t declined = binding.declined.load()) {
    text += fmt::format("  calls on the own forward, since the kernel declined them: {}\n", declined);
  }
  return text;
}

std::string decision_text(const Decision& decision, const std::string& heading) {
  return fmt::format("{}\n{}", heading, text_of(decision.steps())) +
         (decision.binding == nullptr ? "" : counts_of(*decision.binding));
}

Json decision_json(const Decision& decision, std::uint64_t current) {
  Json json{{"device", to_string(decision.device)},
            {"mode", to_string(decision.mode)},
            {"under", under(decision, current)},
            {"served_by", decision.served_by()},
            {"steps", json_of(decision.steps())}};
  if (decision.binding != nullptr) {
    json["library"] = decision.binding->plugin->path().string();
    json["refused_calls"] = decision.binding->refused.load();
    json["declined_calls"] = decision.binding->declined.load();
  }
  return json;
}

}  // namespace
}  // namespace dispatch

namespace detail {
namespace {

std::string host_type_name(const LayerType& type) {
  return type.host_type == nullptr ? "a kernel function" : boost::core::demangle(type.host_type->name());
}

bool has_no_device(const dispatch::Decision& decision) {
  return decision.selection != nullptr && decision.selection->refused &&
         decision.selection->refused->kind == dispatch::Refusal::no_device;
}

}  // namespace

std::string explain_layer(const LayerRef& layer) {
  LayerState& state = dispatch::state_of(layer);
  const std::uint64_t current = dispatch::current_mapping_value()->id;
  std::lock_guard lock(state.mutex);
  std::string text = fmt::format("layer `{}` of {}\n", layer.type->name, host_type_name(*layer.type));
  for (const dispatch::Decision& row : state.rows) {
    text += dispatch::decision_text(row, fmt::format("on {}, {}, {}: {}", to_string(row.device), to_string(row.mode),
                                                     dispatch::under(row, current), row.served_by()));
  }
  if (state.refused) {
    const dispatch::Decision& refused = *state.refused;
    text += dispatch::decision_text(
        refused, fmt::format("on {}, {}: an error, since {}", to_string(refused.device), to_string(refused.mode),
                             has_no_device(refused) ? "nothing can be computed there"
                                                    : "its policy allows no fallback"));
  }
  if (state.rows.empty() && !state.refused) {
    text += "not bound yet: call it, or kernelize it\n";
  }
  return text;
}

std::string explain_layer_json(const LayerRef& layer) {
  LayerState& state = dispatch::state_of(layer);
  const std::uint64_t current = dispatch::current_mapping_value()->id;
  std::lock_guard lock(state.mutex);
  Json json{{"layer", layer.type->name}, {"decisions", Json::array()}};
  for (const dispatch::Decision& row : state.rows) {
    json["decisions"].push_back(dispatch::decision_json(row, current));
  }
  if (state.refused) {
    json["error"] = dispatch::decision_json(*state.refused, current);
  }
  return write_json(json);
}

std::optional<BindingInfo> binding_of_layer(const LayerRef& layer, Device device) {
  LayerState& state = dispatch::state_of(layer);
  const std::uint64_t current = dispatch::current_mapping_value()->id;
  std::lock_guard lock(state.mutex);
  for (const dispatch::Decision& row : state.rows) {
    if (row.device == device && (row.mapping == any_mapping || row.mapping == current)) {
      if (row.binding == nullptr) {
        return std::nullopt;
      }
      const dispatch::Binding& b = *row.binding;
      return BindingInfo{b.plugin->repo(),
                         b.plugin->revision(),
                         b.kernel_name(),
                         b.on,
                         b.plugin->path().string(),
                         b.declined.load(),
                         b.refused.load(),
                         (b.kernel->traits & LH_TRAIT_OWNS_PARAMS) != 0};
    }
  }
  return std::nullopt;
}

}  // namespace detail
}  // namespace layerhub
