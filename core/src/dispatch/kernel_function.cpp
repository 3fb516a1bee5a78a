// SPDX-License-Identifier: Apache-2.0
#include "dispatch/layer_state.hpp"
#include "plugin/plugin.hpp"

#include <layerhub/kernel_function.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace layerhub {

namespace detail {

void bind_function(const LayerRef& function, const Repository& repository, Device device) {
  dispatch::Decision decision;
  dispatch::decide_function(function, repository, device, decision);
  decision.mapping = any_mapping;
  decision.tensors = {device.type, device.ordinal};
  dispatch::ReplacedTables replaced;
  LayerState& state = dispatch::state_of(function);
  std::lock_guard lock(state.mutex);
  dispatch::put_row(state, std::move(decision));
  dispatch::publish(function, state, replaced);
}

// What a layer answers by its own forward is an error here.
void throw_function_refused(const LayerRef& function) {
  LayerState& state = dispatch::state_of(function);
  std::lock_guard lock(state.mutex);
  const dispatch::Decision& row = state.rows.front();
  const std::uint32_t refused = row.binding->last_refused.exchange(0);
  throw Error(make_reason(
      ErrorCode::unsupported, "constraint",
      fmt::format("kernel function `{}` ({}): {}; pass tensors that it takes", function.type->name, row.served_by(),
                  refused == 0 ? "it declines this call" : row.binding->constraints.describe(refused - 1))));
}

}  // namespace detail

std::vector<LoadedKernels> loaded_kernels() {
  std::vector<LoadedKernels> loaded;
  for (const std::shared_ptr<const plugin::Plugin>& plugin : plugin::open_plugins()) {
    LoadedKernels entry{{}, {}, plugin->variant(), plugin->path().string(), {}};
    if (!plugin->is_local()) {
      entry.repo_id = plugin->repo();
      entry.revision = plugin->revision();
    }
    for (const plugin::Kernel& kernel : plugin->descriptor().kernels) {
      entry.kernels.push_back(fmt::format("{}: {}", kernel.layer, kernel.implementation));
    }
    loaded.push_back(std::move(entry));
  }
  std::sort(loaded.begin(), loaded.end(), [](const auto& a, const auto& b) { return a.library < b.library; });
  return loaded;
}

}  // namespace layerhub
