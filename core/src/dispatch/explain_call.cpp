// SPDX-License-Identifier: Apache-2.0
// What a call would find, without making it: the chain as far as it comes, the constraints against shapes that are
// given, and every candidate there is.
#include "base/json.hpp"
#include "base/reason.hpp"
#include "device/cpu_device.hpp"
#include "device/device_table.hpp"
#include "dispatch/candidates.hpp"
#include "dispatch/layer_state.hpp"

#include <layerhub/explain.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace layerhub {
namespace {

using dispatch::Binding;
using dispatch::Candidate;
using dispatch::Decision;
using dispatch::Step;

// Tensors of given shapes: dense, aligned, apart from each other and from everything. Nobody looks at their memory.
class ShapedTensors {
 public:
  ShapedTensors(const ExplainOptions& options, DLDevice device) : shapes_(options.tensors) {
    strides_.resize(shapes_.size());
    for (std::size_t i = 0; i < shapes_.size(); ++i) {
      auto& [shape, dtype] = shapes_[i];
      strides_[i].resize(shape.size());
      std::int64_t stride = 1;
      for (std::size_t d = shape.size(); d-- > 0; stride *= shape[d]) {
        strides_[i][d] = stride;
      }
      void* far_apart = reinterpret_cast<void*>((i + 1) << 44);
      tensors_.push_back(
          {far_apart, device, static_cast<std::int32_t>(shape.size()), dtype, shape.data(), strides_[i].data(), 0});
    }
  }
  ShapedTensors(const ShapedTensors&) = delete;
  DLTensor* at(std::size_t i) { return &tensors_[i]; }

 private:
  std::vector<ExplainOptions::TensorShape> shapes_;
  std::vector<std::vector<std::int64_t>> strides_;
  std::vector<DLTensor> tensors_;
};

std::size_t count(const detail::LayerType& type, detail::HostArgumentKind kind) {
  return static_cast<std::size_t>(std::count_if(type.arguments, type.arguments + type.n_arguments,
                                                [&](const detail::HostArgument& a) { return a.kind == kind; }));
}

// So many elements fit no memory, and their offsets no number.
bool is_possible(const ExplainOptions::TensorShape& tensor) {
  constexpr std::int64_t most = std::int64_t{1} << 43;
  std::int64_t elements = 1;
  for (const std::int64_t size : tensor.shape) {
    if (size < 0 || (size != 0 && elements > most / size)) {
      return false;
    }
    elements *= size;
  }
  return tensor.shape.size() <= LH_MAX_RANK;
}

Step constraint_step(const detail::LayerType& type, const Binding& binding, const ExplainOptions& options) {
  const std::size_t inputs = count(type, detail::HostArgumentKind::read_tensor);
  const std::size_t written = count(type, detail::HostArgumentKind::written_tensor);
  if (options.tensors.size() != inputs + written) {
    throw Error(
        make_reason(ErrorCode::invalid_argument, "explain",
                    fmt::format("layer `{}`: {} shapes are given, its forward has {} tensors; give one for each",
                                type.name, options.tensors.size(), inputs + written)));
  }
  if (!std::all_of(options.tensors.begin(), options.tensors.end(), is_possible)) {
    throw Error(make_reason(ErrorCode::invalid_argument, "explain",
                            fmt::format("layer `{}`: a shape has a negative dimension, too many of them, or more "
                                        "elements than any memory",
                                        type.name)));
  }
  ShapedTensors tensors(options, binding.device);
  std::array<const DLTensor*, detail::max_inputs> in{};
  std::array<DLTensor*, detail::max_outputs> out{};
  for (std::size_t i = 0; i < inputs; ++i) {
    in[i] = tensors.at(i);
  }
  for (std::size_t i = 0; i < written; ++i) {
    out[binding.out_order[i]] = tensors.at(inputs + i);
  }
  const std::uint32_t refused = binding.constraints.check(in.data(), out.data());
  return refused == 0 ? Step{"constraint", true, "all hold for tensors of these shapes"}
                      : Step{"constraint", false, binding.constraints.describe(refused - 1)};
}

struct Explanation {
  Decision decision;
  std::vector<Step> steps;
  std::vector<Candidate> candidates;
  std::string served_by;
};

Explanation explain(const detail::LayerRef& layer, const ExplainOptions& options) {
  const auto context = dispatch::current_mapping_value();
  Explanation result;
  {
    detail::LayerState& state = dispatch::state_of(layer);
    std::lock_guard lock(state.mutex);
    dispatch::examine({layer, options.device, options.mode, {}, context, dispatch::bindings_of(state)},
                      result.decision);
  }
  result.steps = result.decision.steps();
  result.served_by = result.decision.served_by();
  if (result.decision.binding != nullptr && !options.tensors.empty()) {
    result.steps.push_back(constraint_step(*layer.type, *result.decision.binding, options));
    if (!result.steps.back().passed) {
      result.served_by = "own forward";
    }
  }
  const hub::Resolver resolver(hub::plugin_roots(hub::explicit_roots()),
                               device::facts_for(dispatch::device_type_name(options.device)));
  result.candidates = dispatch::list_candidates(layer.type->name, options.device, options.mode,
                                                result.decision.selection.get(), resolver);
  return result;
}

std::string text_of(const Explanation& e, const detail::LayerRef& layer, const ExplainOptions& options) {
  std::string text = fmt::format("layer `{}` on {}, {}: {}\n", layer.type->name, to_string(options.device),
                                 to_string(options.mode), e.served_by);
  text += dispatch::text_of(e.steps);
  text += e.candidates.empty() ? "no plugin has a kernel of this name\n" : "candidates\n";
  for (const Candidate& c : e.candidates) {
    text += fmt::format("  {} {}@{} {} `{}`: {}\n", c.accepted ? "+" : "-", c.repo_id, c.revision, c.library, c.kernel,
                        c.text);
  }
  return text;
}

Json json_of(const Explanation& e, const detail::LayerRef& layer, const ExplainOptions& options) {
  Json candidates = Json::array();
  for (const Candidate& candidate : e.candidates) {
    candidates.push_back(dispatch::to_json(candidate));
  }
  return {{"layer", layer.type->name}, {"device", to_string(options.device)}, {"mode", to_string(options.mode)},
          {"served_by", e.served_by},  {"steps", dispatch::json_of(e.steps)}, {"candidates", std::move(candidates)}};
}

}  // namespace

namespace detail {

std::string explain_call(const LayerRef& layer, const ExplainOptions& options, bool as_json) {
  const Explanation explanation = explain(layer, options);
  return as_json ? write_json(json_of(explanation, layer, options)) : text_of(explanation, layer, options);
}

}  // namespace detail
}  // namespace layerhub
