// SPDX-License-Identifier: Apache-2.0
#include "plugin/descriptor.hpp"

#include "base/reason.hpp"

#include <layerhub/detail/slot.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <tuple>

namespace layerhub::plugin {
namespace {

constexpr std::uint32_t max_kernels = 4096;
constexpr std::uint32_t max_table = 64;  // arguments, attributes
constexpr std::uint32_t max_constraints = 256;
constexpr std::size_t max_text = 256;

Reason broken(std::string_view name, const std::string& fact) {
  return make_reason(ErrorCode::bad_library, "descriptor",
                     fmt::format("{}: {}; the plugin was built wrongly, ask its author", name, fact));
}

// Copies what both sides have; what the callee's older struct lacks stays zero [R1].
template <class Struct>
Struct copy_struct(const Struct& from) {
  Struct to{};
  std::memcpy(&to, &from, std::min<std::size_t>(from.struct_size, sizeof to));
  return to;
}

bool copy_text(lh_str from, std::string& to) {
  if (from.size > max_text || (from.size != 0 && from.data == nullptr)) {
    return false;
  }
  to.assign(from.size == 0 ? "" : from.data, from.size);
  return true;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    parts.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// One kernel, step by step; each step returns what is wrong, or "".
class KernelImport {
 public:
  explicit KernelImport(const lh_kernel& from) : from_(copy_struct(from)) { kernel_.functions = from_; }

  std::string run(Kernel& out) {
    for (const auto step : {&KernelImport::texts, &KernelImport::sizes, &KernelImport::arguments,
                            &KernelImport::attributes, &KernelImport::constraints, &KernelImport::functions}) {
      if (std::string fact = (this->*step)(); !fact.empty()) {
        return fmt::format("kernel `{}` ({}): {}", printable(kernel_.layer), printable(kernel_.implementation), fact);
      }
    }
    out = std::move(kernel_);
    return {};
  }

 private:
  std::string texts() {
    std::string features;
    if (!copy_text(from_.layer, kernel_.layer) || !copy_text(from_.implementation, kernel_.implementation) ||
        !copy_text(from_.required_features, features)) {
      return "a text is absent or longer than 256 bytes";
    }
    if (kernel_.layer.empty() || kernel_.implementation.empty()) {
      return "the name of the layer or of the implementation is empty";
    }
    kernel_.features = split(features);
    kernel_.device_type = from_.device_type;
    kernel_.kind = from_.kind;
    kernel_.min_capability = from_.min_capability;
    kernel_.max_capability = from_.max_capability;
    kernel_.traits = from_.traits;
    kernel_.signature = from_.signature;
    kernel_.has_backward = from_.backward != nullptr;
    return from_.kind == LH_KERNEL_LAYER || from_.kind == LH_KERNEL_FUNCTION ? "" : "its kind is unknown";
  }

  std::string sizes() {
    if (from_.n_args == 0 || from_.n_args > max_table || from_.args == nullptr) {
      return fmt::format("it declares {} arguments, 1 to {} are possible", from_.n_args, max_table);
    }
    if (from_.n_attrs > max_table || (from_.n_attrs != 0 && from_.attrs == nullptr)) {
      return fmt::format("it declares {} attributes, at most {} are possible", from_.n_attrs, max_table);
    }
    if (from_.n_constraints > max_constraints || (from_.n_constraints != 0 && from_.constraints == nullptr)) {
      return fmt::format("it declares {} constraints, at most {} are possible", from_.n_constraints, max_constraints);
    }
    return {};
  }

  std::string arguments() {
    for (const lh_arg* a = from_.args; a != from_.args + from_.n_args; ++a) {
      hub::Argument argument;
      std::string formats;
      if (!copy_text(a->name, argument.name) || argument.name.empty() || !copy_text(a->formats, formats)) {
        return "an argument has no name";
      }
      if (a->kind < LH_ARG_INPUT || a->kind > LH_ARG_SCALAR_FLOAT) {
        return fmt::format("argument `{}` is of the unknown kind {}", printable(argument.name), a->kind);
      }
      argument.kind = a->kind;
      argument.optional = a->optional != 0;
      argument.formats = split(formats);
      kernel_.arguments.push_back(std::move(argument));
    }
    const std::size_t in = kernel_.count(LH_ARG_INPUT) + kernel_.count(LH_ARG_PARAM);
    const std::size_t out = kernel_.count(LH_ARG_OUTPUT) + kernel_.count(LH_ARG_STATE);
    const std::size_t scalars = kernel_.count(LH_ARG_SCALAR_INT) + kernel_.count(LH_ARG_SCALAR_FLOAT);
    if (in > detail::max_inputs || out > detail::max_outputs || scalars > detail::max_scalars || out == 0) {
      return fmt::format("{} inputs and params, {} outputs and states, {} scalars; this host takes {}, 1 to {} and {}",
                         in, out, scalars, detail::max_inputs, detail::max_outputs, detail::max_scalars);
    }
    return {};
  }

  std::string attributes() {
    for (const lh_attr_decl* a = from_.attrs; a != from_.attrs + from_.n_attrs; ++a) {
      hub::Attribute attribute;
      if (!copy_text(a->fallback.name, attribute.name) || attribute.name.empty()) {
        return "an attribute has no name";
      }
      if (a->fallback.kind < LH_ATTR_INT || a->fallback.kind > LH_ATTR_INTS) {
        return fmt::format("attribute `{}` is of the unknown kind {}", printable(attribute.name), a->fallback.kind);
      }
      attribute.kind = a->fallback.kind;
      attribute.required = a->required != 0;
      kernel_.fallbacks.push_back(a->fallback);
      kernel_.attributes.push_back(std::move(attribute));
    }
    return {};
  }

  bool names_tensor(std::uint32_t index) const {
    return index < kernel_.arguments.size() && kernel_.arguments[index].kind <= LH_ARG_SAVED;
  }

  std::string constraints() {
    if ((from_.traits & LH_TRAIT_CHECKS_TENSORS) != 0 && from_.n_constraints != 0) {
      return "it declares constraints and that it checks tensors itself; one of the two can't be meant";
    }
    for (const lh_constraint* c = from_.constraints; c != from_.constraints + from_.n_constraints; ++c) {
      if (c->kind < LH_C_DTYPE_IN || c->kind > LH_C_MAY_ALIAS) {
        return fmt::format("a constraint is of the unknown kind {}", c->kind);
      }
      if (!names_tensor(c->arg) || !names_tensor(c->other)) {
        return "a constraint names an argument that is no tensor of this kernel";
      }
      if (c->kind == LH_C_DTYPE_IN && (c->n_dtypes == 0 || c->n_dtypes > 6 || c->dtypes == nullptr)) {
        return fmt::format("a constraint lists {} dtypes, 1 to 6 are possible", c->n_dtypes);
      }
      const auto in_range = [](std::int32_t dim) { return dim >= -LH_MAX_RANK && dim < LH_MAX_RANK; };
      if (!in_range(c->dim) || !in_range(c->other_dim)) {
        return fmt::format("a constraint names dimension {}", in_range(c->dim) ? c->other_dim : c->dim);
      }
      if ((c->kind == LH_C_DIM_MULTIPLE && c->a <= 0) || (c->kind == LH_C_DIM_RATIO && (c->a <= 0 || c->b <= 0)) ||
          (c->kind == LH_C_ALIGNED && (c->a <= 0 || (c->a & (c->a - 1)) != 0))) {
        return "a multiple, ratio or alignment is not a positive number (an alignment: a power of two)";
      }
      kernel_.constraints.push_back(*c);
    }
    return {};
  }

  std::string functions() {
    if (from_.forward == nullptr) {
      return "it has no forward";
    }
    if ((from_.create == nullptr) != (from_.destroy == nullptr)) {
      return "it has one of create and destroy without the other";
    }
    if (from_.create == nullptr && !kernel_.attributes.empty()) {
      return "it declares attributes but has no create that could read them";
    }
    return {};
  }

  lh_kernel from_;
  Kernel kernel_;
};

}  // namespace

std::string_view argument_kind_name(std::uint32_t kind) {
  constexpr std::string_view names[] = {"", "input", "param", "output", "state", "saved", "int", "float"};
  return kind < std::size(names) ? names[kind] : "";
}

std::string_view attribute_kind_name(std::uint32_t kind) {
  constexpr std::string_view names[] = {"", "int", "float", "bool", "string", "ints"};
  return kind < std::size(names) ? names[kind] : "";
}

Result<Descriptor> import_descriptor(const lh_plugin& given, std::uint32_t minor, std::string_view name) {
  const lh_plugin plugin = copy_struct(given);
  Descriptor descriptor;
  if (!copy_text(plugin.repo, descriptor.repo) || !copy_text(plugin.revision, descriptor.revision) ||
      !copy_text(plugin.build_id, descriptor.build_id) || !copy_text(plugin.toolchain, descriptor.toolchain)) {
    return broken(name, "its repository, revision or build id is absent or longer than 256 bytes");
  }
  if (plugin.get_extension != nullptr) {
    descriptor.runtime = static_cast<const lh_device_1*>(plugin.get_extension(LH_DEVICE_1_ID));
  }
  const std::uint32_t fewest = descriptor.runtime == nullptr ? 1 : 0;
  if (plugin.n_kernels < fewest || plugin.n_kernels > max_kernels ||
      (plugin.kernels == nullptr && plugin.n_kernels != 0)) {
    return broken(name, fmt::format("it has {} kernels, {} to {} are possible", plugin.n_kernels, fewest, max_kernels));
  }
  descriptor.abi_minor = minor;
  descriptor.flags = plugin.flags;
  descriptor.shutdown = plugin.shutdown;
  for (std::uint32_t i = 0; i < plugin.n_kernels; ++i) {
    if (plugin.kernels[i] == nullptr) {
      return broken(name, "an entry of its list of kernels is empty");
    }
    Kernel kernel;
    if (const std::string fact = KernelImport(*plugin.kernels[i]).run(kernel); !fact.empty()) {
      return broken(name, fact);
    }
    descriptor.kernels.push_back(std::move(kernel));
  }
  // The linker decides their order in the library.
  std::sort(descriptor.kernels.begin(), descriptor.kernels.end(), [](const Kernel& a, const Kernel& b) {
    return std::tie(a.layer, a.implementation) < std::tie(b.layer, b.implementation);
  });
  return descriptor;
}

}  // namespace layerhub::plugin
