// SPDX-License-Identifier: Apache-2.0
// Whether a host layer and a kernel speak of the same thing: what each passes, what each has to lend.
#include "dispatch/binding.hpp"
#include "dispatch/instance.hpp"

#include "base/reason.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace layerhub::dispatch {
namespace {

using detail::HostArgumentKind;

std::string_view name_of(HostArgumentKind kind) {
  switch (kind) {
    case HostArgumentKind::read_tensor: return "an input tensor";
    case HostArgumentKind::written_tensor: return "a tensor to write";
    case HostArgumentKind::integer: return "an integer";
    case HostArgumentKind::real: return "a float";
  }
  return "";
}

HostArgumentKind host_kind(std::uint32_t kind) {
  switch (kind) {
    case LH_ARG_OUTPUT:
    case LH_ARG_STATE: return HostArgumentKind::written_tensor;
    case LH_ARG_SCALAR_INT: return HostArgumentKind::integer;
    case LH_ARG_SCALAR_FLOAT: return HostArgumentKind::real;
    default: return HostArgumentKind::read_tensor;
  }
}

std::string_view attribute_value_kind(const AttributeValue& value) {
  constexpr std::string_view names[] = {"bool", "int", "float", "string"};
  return names[value.index()];
}

// An int serves where a float is asked for; nothing else is converted.
bool fits(const AttributeValue& value, std::uint32_t kind) {
  switch (kind) {
    case LH_ATTR_BOOL: return std::holds_alternative<bool>(value);
    case LH_ATTR_INT: return std::holds_alternative<std::int64_t>(value);
    case LH_ATTR_FLOAT: return std::holds_alternative<double>(value) || std::holds_alternative<std::int64_t>(value);
    case LH_ATTR_STRING: return std::holds_alternative<std::string>(value);
    default: return false;
  }
}

class SignatureCheck {
 public:
  SignatureCheck(const detail::LayerType& layer, const hub::KernelInfo& kernel, const std::vector<Member>& members)
      : layer_(layer), kernel_(kernel), members_(members) {}

  Result<void> run() {
    for (const auto step : {&SignatureCheck::positions, &SignatureCheck::params, &SignatureCheck::attributes}) {
      if (const std::string fact = (this->*step)(); !fact.empty()) {
        return make_reason(ErrorCode::signature_mismatch, "signature",
                           fmt::format("layer `{}`: {}", layer_.name, fact));
      }
    }
    return success();
  }

 private:
  std::string positions() {
    std::uint32_t next = 0;
    bool host_ended = false;
    for (const hub::Argument& argument : kernel_.arguments) {
      if (argument.kind == LH_ARG_PARAM || argument.kind == LH_ARG_SAVED) {
        continue;
      }
      const HostArgumentKind wanted = host_kind(argument.kind);
      // Trailing optional inputs may be left out as a whole; an optional one between others may not.
      const bool is_here = next < layer_.n_arguments && layer_.arguments[next].kind == wanted &&
                           !(host_ended && argument.kind == LH_ARG_INPUT);
      if (!is_here) {
        if (argument.optional && argument.kind == LH_ARG_INPUT) {
          host_ended = true;
          continue;
        }
        return next < layer_.n_arguments
                   ? fmt::format(
                         "argument {} of its forward is {}, the kernel takes {} there (`{}`); reorder them or map "
                         "another kernel",
                         next + 1, name_of(layer_.arguments[next].kind), name_of(wanted), argument.name)
                   : fmt::format(
                         "its forward has {} arguments, the kernel also takes {} (`{}`); add it or map another kernel",
                         layer_.n_arguments, name_of(wanted), argument.name);
      }
      if (layer_.arguments[next].optional && !argument.optional) {
        return fmt::format("argument {} of its forward may be absent, the kernel needs it (`{}`); pass it by reference",
                           next + 1, argument.name);
      }
      ++next;
    }
    if (next != layer_.n_arguments) {
      return fmt::format("its forward has {} arguments, the kernel takes {}; map a kernel that takes them all",
                         layer_.n_arguments, next);
    }
    return {};
  }

  std::string params() {
    for (const hub::Argument& argument : kernel_.arguments) {
      if (argument.kind != LH_ARG_PARAM) {
        continue;
      }
      const Member* member = find_member(members_, argument.name, true);
      if (member == nullptr && !argument.optional) {
        return fmt::format(
            "the kernel needs its weight `{0}`, which it does not lend; add param(\"{0}\", ...) to hub_members()",
            argument.name);
      }
      if (member != nullptr && (member->shape.empty() || member->shape.size() > LH_MAX_RANK)) {
        return fmt::format("its weight `{}` has rank {}; 1 to {} are possible", argument.name, member->shape.size(),
                           LH_MAX_RANK);
      }
    }
    return {};
  }

  std::string attributes() {
    for (const hub::Attribute& attribute : kernel_.attributes) {
      const Member* member = find_member(members_, attribute.name, false);
      if (member == nullptr && attribute.required) {
        return fmt::format(
            "the kernel needs its attribute `{0}`, which it does not lend; add attribute(\"{0}\", ...) to "
            "hub_members()",
            attribute.name);
      }
      if (member != nullptr && !fits(member->value, attribute.kind)) {
        return fmt::format("its attribute `{}` is of kind {}, the kernel takes {}; convert it in hub_members()",
                           attribute.name, attribute_value_kind(member->value),
                           plugin::attribute_kind_name(attribute.kind));
      }
    }
    return {};
  }

  const detail::LayerType& layer_;
  const hub::KernelInfo& kernel_;
  const std::vector<Member>& members_;
};

}  // namespace

Result<void> check_signature(const detail::LayerType& layer, const hub::KernelInfo& kernel,
                             const std::vector<Member>& members) {
  return SignatureCheck(layer, kernel, members).run();
}

}  // namespace layerhub::dispatch
