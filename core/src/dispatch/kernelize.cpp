// SPDX-License-Identifier: Apache-2.0
// kernelize in two passes: every layer is decided and bound first, and published only when none was an error.
#include "dispatch/layer_state.hpp"

#include <layerhub/kernelize.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace layerhub {

std::size_t KernelizeReport::kernels() const {
  return static_cast<std::size_t>(std::count_if(layers.begin(), layers.end(), [](const Layer& l) { return l.kernel; }));
}

namespace detail {
namespace {

// The decision of one layer; what it refused is kept for explain() also when the policy makes it an Error.
dispatch::Decision decide_layer(const LayerRef& layer, const KernelizeOptions& options,
                                const std::shared_ptr<const dispatch::MappingValue>& mapping, bool reuse,
                                dispatch::SelectionCache& selections) {
  LayerState& state = dispatch::state_of(layer);
  std::lock_guard lock(state.mutex);
  dispatch::Decision decision;
  try {
    dispatch::decide(
        {layer, options.device, options.mode, options.fallback, mapping,
         reuse ? dispatch::bindings_of(state) : std::vector<std::shared_ptr<const dispatch::Binding>>{}, &selections},
        decision);
  } catch (...) {
    state.refused = std::move(decision);
    throw;
  }
  decision.mapping = any_mapping;
  decision.tensors = {options.device.type, options.device.ordinal};
  return decision;
}

void publish_row(const LayerRef& layer, dispatch::Decision decision, dispatch::ReplacedTables& replaced) {
  LayerState& state = dispatch::state_of(layer);
  std::lock_guard lock(state.mutex);
  state.refused.reset();
  dispatch::put_row(state, std::move(decision));
  dispatch::publish(layer, state, replaced);
}

// The report's line for a decision; the layers that one kernel serves share theirs.
class Lines {
 public:
  const std::string& of(const dispatch::Decision& decision) {
    const plugin::Kernel* kernel = decision.binding == nullptr ? nullptr : decision.binding->kernel;
    if (kernel == nullptr || kernel != kernel_) {
      kernel_ = kernel;
      line_ = make(decision);
    }
    return line_;
  }

 private:
  static std::string make(const dispatch::Decision& decision) {
    if (decision.binding != nullptr) {
      return fmt::format("{} on {}", decision.served_by(), to_string(decision.device));
    }
    const dispatch::Step* refusal = decision.last_refusal();
    return refusal == nullptr ? "own forward" : refusal->text;
  }

  const plugin::Kernel* kernel_ = nullptr;
  std::string line_;
};

}  // namespace

KernelizeReport kernelize_layers(const std::vector<LayerRef>& layers, const KernelizeOptions& options) {
  if (const std::string fault = dispatch::request_fault(options.mode); !fault.empty()) {
    throw Error(make_reason(ErrorCode::invalid_argument, "mode",
                            fmt::format("kernelize: the mode {}: {}", to_string(options.mode), fault)));
  }
  const std::shared_ptr<const dispatch::MappingValue> mapping = dispatch::current_mapping_value();
  dispatch::SelectionCache selections;
  std::vector<dispatch::Decision> decisions;
  decisions.reserve(layers.size());
  for (const LayerRef& layer : layers) {
    decisions.push_back(decide_layer(layer, options, mapping, true, selections));
  }
  KernelizeReport report;
  report.layers.reserve(layers.size());
  dispatch::ReplacedTables replaced;
  Lines lines;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    report.layers.push_back(
        {std::string(layers[i].type->name), decisions[i].binding != nullptr, lines.of(decisions[i])});
    publish_row(layers[i], std::move(decisions[i]), replaced);
  }
  return report;
}

void unkernelize_layers(const std::vector<LayerRef>& layers) {
  dispatch::ReplacedTables replaced;
  for (const LayerRef& layer : layers) {
    LayerState& state = dispatch::state_of(layer);
    std::lock_guard lock(state.mutex);
    std::erase_if(state.rows, [](const dispatch::Decision& row) { return row.mapping == any_mapping; });
    dispatch::publish(layer, state, replaced);
  }
}

void rebind_layers(const std::vector<LayerRef>& layers) {
  const std::shared_ptr<const dispatch::MappingValue> mapping = dispatch::current_mapping_value();
  dispatch::SelectionCache selections;
  dispatch::ReplacedTables replaced;
  for (const LayerRef& layer : layers) {
    std::vector<KernelizeOptions> kernelized;
    {
      LayerState& state = dispatch::state_of(layer);
      std::lock_guard lock(state.mutex);
      for (const dispatch::Decision& row : state.rows) {
        if (row.mapping == any_mapping && dispatch::is_own_memory(row)) {
          kernelized.push_back({row.mode, row.device, row.fallback});
        }
      }
      state.rows.clear();
      dispatch::publish(layer, state, replaced);
    }
    for (const KernelizeOptions& options : kernelized) {
      publish_row(layer, decide_layer(layer, options, mapping, false, selections), replaced);
    }
  }
}

}  // namespace detail
}  // namespace layerhub
