// SPDX-License-Identifier: Apache-2.0
#include "binding.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace smollm2 {
namespace {

struct PluginOf {
  const char *layer, *repo;
  bool is_fused = false;
};
constexpr std::array plugins{
    PluginOf{"RMSNorm", "layerhub/norm"},           PluginOf{"ResidualRMSNorm", "layerhub/norm", true},
    PluginOf{"Linear", "layerhub/linear"},          PluginOf{"QKVLinear", "layerhub/linear", true},
    PluginOf{"SwiGLUMLP", "layerhub/linear", true}, PluginOf{"rotary_pos_emb", "layerhub/rotary"},
    PluginOf{"SiluAndMul", "layerhub/activation"},  PluginOf{"CausalAttention", "layerhub/attention"},
};

// Whether the layer's parts can stand in for it on the device.
template <class Layer>
constexpr bool is_offer(const Layer&, layerhub::Device device) {
  if constexpr (FusedLayer<Layer>) {
    return Layer::parts_do_all || device == layerhub::Device::cpu();
  }
  return false;
}

// One group of the model's layers as kernelize walks them.
struct Group {
  const Model& model;
  Part part;
  std::size_t index;

  layerhub::Device device() const { return model.placement().of(part); }
  template <class Visit>
  void visit_all(Visit&& visit) const {
    model.visit_group(part, index, visit);
  }
};
struct Offers : Group {
  const std::vector<std::string>& mapped;  // sorted; a layer that is in no mapping is not asked for

  template <class Visit>
  void visit_layers(Visit&& visit) const {
    visit_all([&](const auto& layer) {
      if (is_offer(layer, device()) && std::binary_search(mapped.begin(), mapped.end(), layer.hub_layer_name)) {
        visit(layer);
      }
    });
  }
};
// All others, and the parts of offers that no kernel took.
struct Rest : Group {
  template <class Visit>
  void visit_layers(Visit&& visit) const {
    visit_all([&](const auto& layer) {
      if (!is_offer(layer, device())) {
        visit(layer);
        return;
      }
      if constexpr (FusedLayer<std::remove_cvref_t<decltype(layer)>>) {
        if (!layerhub::binding_of(layer, device())) {
          layer.visit_parts(visit);
        }
      }
    });
  }
};

void bind_group(const Group& group, const std::vector<std::string>& mapped, bool required,
                std::vector<std::string>& said) {
  // The own forwards are the cpu's: on another device every layer needs a kernel.
  const bool needed = required || group.device() != layerhub::Device::cpu();
  layerhub::KernelizeOptions options{.device = group.device()};
  options.fallback = needed ? std::optional(layerhub::Fallback::when_missing) : std::nullopt;
  const Offers offers{group, mapped};
  layerhub::kernelize(offers, options);
  options.fallback = needed ? std::optional(layerhub::Fallback::never) : std::nullopt;
  const Rest rest{group};
  for (const auto& layer : layerhub::kernelize(rest, options).layers) {
    if (!layer.kernel && needed) {  // what no policy forbids: kernels are switched off
      throw std::runtime_error(layer.name + " on " + to_string(group.device()) +
                               ": it has to run a kernel there and gets none (" + layer.served_by +
                               "); leave --device and --hub out, or let it have one");
    }
    if (!layer.kernel && std::find(said.begin(), said.end(), layer.name) == said.end()) {
      said.push_back(layer.name);
      std::fprintf(stderr, "%s runs its own forward: %s\n", layer.name.c_str(), layer.served_by.c_str());
    }
  }
}

// The mapped pages of weights that the group's kernels have copied: packed and mapped, the model would be there twice.
void give_back_weights(const Group& group) {
  const auto give_back = [&](const auto& weights_of) {
    if constexpr (requires { weights_of.weight; }) {
      group.model.file().give_back(weights_of.weight.data);
    }
  };
  group.visit_all([&](const auto& layer) {
    const auto copied = [&](const auto& bound) {
      const std::optional<layerhub::BindingInfo> binding = layerhub::binding_of(bound, group.device());
      return binding && binding->owns_params;
    };
    if constexpr (FusedLayer<std::remove_cvref_t<decltype(layer)>>) {
      const bool whole = copied(layer);
      layer.visit_parts([&](const auto& part) {
        if (whole || copied(part)) {
          give_back(part);
        }
      });
    } else if (copied(layer)) {
      give_back(layer);
    }
  });
}

void bind(const Model& model, const layerhub::Mapping& mapping, bool required) {
  const layerhub::use_kernel_mapping scope(mapping);
  const std::vector<std::string> mapped = mapping.layers();
  std::vector<std::string> said;
  model.file().give_back_metadata();
  for (const Part part : {Part::head, Part::attention, Part::mlp}) {  // the largest weight while little is there yet
    for (std::size_t i = 0; i < model.groups_of(part); ++i) {
      const Group group{model, part, i};
      bind_group(group, mapped, required, said);
      give_back_weights(group);
    }
  }
  model.file().give_back_all();  // reading a weight has brought the pages around it as well
}

}  // namespace

layerhub::Mapping explicit_mapping(const Placement& placement) {
  std::vector<layerhub::Mapping::LayerEntry> entries;
  for (const PluginOf& plugin : plugins) {
    const layerhub::LayerRepository repository{.repo_id = plugin.repo, .layer_name = plugin.layer, .revision = "v1"};
    for (const layerhub::Device device : placement.devices) {
      if (!plugin.is_fused || layerhub::has_kernel(repository, device)) {
        const std::string name = to_string(device);
        entries.push_back({plugin.layer, {{name.substr(0, name.find(':')), repository}}});
      }
    }
  }
  return layerhub::Mapping(entries);
}

void unbind(Model& model) {
  layerhub::unkernelize(model);
  if (!model.placement().is_cpu()) {
    model.place({});
  }
}

void place_and_bind(Model& model, const Placement& placement, const layerhub::Mapping& mapping, bool required) {
  unbind(model);
  if (!placement.is_cpu()) {
    model.place(placement);
  }
  try {
    bind(model, mapping, required);
  } catch (...) {
    unbind(model);
    throw;
  }
}

void require_no_fallback(const Model& model) {
  visit_working(model, [](const auto& layer, layerhub::Device device) {
    const std::optional<layerhub::BindingInfo> binding = layerhub::binding_of(layer, device);
    if (!binding || binding->declined + binding->refused != 0) {
      throw std::runtime_error("--hub: a layer ran its own forward; here is why\n" +
                               layerhub::explain(layer, {.device = device}));
    }
  });
}

}  // namespace smollm2
