// SPDX-License-Identifier: Apache-2.0
#include "dispatch/instance.hpp"

#include "base/reason.hpp"
#include "device/cpu_device.hpp"
#include "device/streams.hpp"
#include "dispatch/tensor_layout.hpp"
#include "plugin/error_text.hpp"
#include "plugin/host_services.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace layerhub::dispatch {
namespace {

// The host's value, or the fallback that the kernel declares.
lh_attr attribute_of(const lh_attr& fallback, const Member* member) {
  lh_attr attribute = fallback;
  if (member == nullptr) {
    return attribute;
  }
  const AttributeValue& value = member->value;
  switch (fallback.kind) {
    case LH_ATTR_BOOL: attribute.value.i = std::get<bool>(value) ? 1 : 0; break;
    case LH_ATTR_INT: attribute.value.i = std::get<std::int64_t>(value); break;
    case LH_ATTR_FLOAT:
      attribute.value.f = std::holds_alternative<double>(value) ? std::get<double>(value)
                                                                : static_cast<double>(std::get<std::int64_t>(value));
      break;
    default: {
      const std::string& text = std::get<std::string>(value);
      attribute.value.s = {text.data(), text.size()};
    }
  }
  return attribute;
}

// lh_create_args with all that it points to.
class CreateArgs {
 public:
  CreateArgs(const Binding& binding, const DeviceInfo& device) {
    const plugin::Kernel& kernel = *binding.kernel;
    for (std::size_t i = 0; i < kernel.attributes.size(); ++i) {
      attributes_.push_back(
          attribute_of(kernel.fallbacks[i], find_member(binding.members, kernel.attributes[i].name, false)));
    }
    for (const ParamView& param : binding.params) {
      params_.push_back(param.tensor);
      formats_.push_back({param.format.data(), param.format.size()});
    }
    info_.struct_size = sizeof info_;
    info_.capability = device.capability;
    info_.device = binding.device;
    info_.features = {device.features.data(), device.features.size()};
    const std::string& name = device.device == Device::cpu() ? device::processor_name() : device.name;
    info_.name = {name.data(), name.size()};
    info_.arch = {device.arch.data(), device.arch.size()};
    info_.driver = {device.driver.data(), device.driver.size()};
    info_.total_memory = device.total_memory;
    info_.free_memory = device.free_memory;
    args_.struct_size = sizeof args_;
    args_.stream = binding.on_device == nullptr ? nullptr : device::stream_in_use(*binding.on_device).native;
    args_.mode = static_cast<std::uint32_t>(binding.mode);
    args_.host = &plugin::host_services();
    args_.device = &info_;
    args_.attrs = attributes_.data();
    args_.n_attrs = static_cast<std::uint32_t>(attributes_.size());
    args_.params = params_.data();
    args_.param_formats = formats_.data();
    args_.n_params = static_cast<std::uint32_t>(params_.size());
  }
  CreateArgs(const CreateArgs&) = delete;

  const lh_create_args& get() const { return args_; }

 private:
  std::vector<lh_attr> attributes_;
  std::vector<const DLTensor*> params_;
  std::vector<lh_str> formats_;
  lh_device_info info_{};
  lh_create_args args_{};
};

// The device's own notion of the current device, where the binding's has one.
struct CurrentDevice {
  explicit CurrentDevice(const Binding& binding) {
    if (binding.on_device != nullptr) {
      guard.emplace(*binding.on_device);
    }
  }
  std::optional<device::CurrentDevice> guard;
};

std::string name_of(const detail::LayerType& layer, const Binding& binding) {
  return fmt::format("layer `{}` on {}: kernel `{}` of {}@{}", layer.name, to_string(binding.on), binding.kernel_name(),
                     binding.plugin->repo(), binding.plugin->revision());
}

std::string describe_params(const Binding& binding) {
  std::string text;
  for (std::size_t i = 0, p = 0; i < binding.kernel->arguments.size(); ++i) {
    const hub::Argument& argument = binding.kernel->arguments[i];
    if (argument.kind == LH_ARG_PARAM) {
      text += (text.empty() ? "" : ", ") + describe_tensor(argument.name, binding.params[p++].tensor);
    }
  }
  return text.empty() ? "no params" : text;
}

// A kernel failed outside of a call, where a fault of the device may be seen first.
Reason failure_of(const detail::LayerType& layer, const Binding& binding, const char* function, const char* act,
                  std::int32_t status, const std::string& said) {
  if (status == LH_DEVICE_LOST && binding.on_device != nullptr) {
    device::lose(*binding.on_device, said);
  }
  return make_reason(plugin::error_code(status, ErrorCode::kernel_failed), function,
                     fmt::format("{} failed to {} ({}){}{}; it was given {}", name_of(layer, binding), act,
                                 plugin::status_name(status), said.empty() ? "" : ": ", said, describe_params(binding)),
                     {{"library", binding.plugin->path().string()}});
}

// Calls may be on any stream, so what was enqueued to make or to update an instance has run before the first of them.
std::int32_t wait_for_work(const Binding& binding, plugin::ErrorText& text) {
  if (binding.on_device == nullptr) {
    return LH_OK;
  }
  device::DeviceState& on = *binding.on_device;
  return on.runtime.table().stream_synchronize(device::ordinal_of(on), device::stream_in_use(on).native, &text.error);
}

}  // namespace

const Member* find_member(const std::vector<Member>& members, std::string_view name, bool is_param) {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const Member& m) { return m.name == name && m.is_param == is_param; });
  return found == members.end() ? nullptr : &*found;
}

Result<void> create_instance(const detail::LayerType& layer, const DeviceInfo& device, Binding& binding) {
  const auto create = binding.kernel->functions.create;
  if (create == nullptr) {
    return success();
  }
  plugin::ErrorText text;
  lh_instance* instance = nullptr;
  const CurrentDevice current(binding);
  std::int32_t status = create(&CreateArgs(binding, device).get(), &instance, &text.error);
  if (status == LH_OK) {
    binding.instance = instance;
    status = wait_for_work(binding, text);
    if (status == LH_OK) {
      return success();
    }
  }
  const std::string said = text.said();
  if (status == LH_DECLINED) {
    return make_reason(ErrorCode::unsupported, "create",
                       fmt::format("{} declines these weights and attributes{}{}", name_of(layer, binding),
                                   said.empty() ? "" : ": ", said));
  }
  return failure_of(layer, binding, "create", "make its instance", status, said);
}

Result<bool> update_instance(const detail::LayerType& layer, const DeviceInfo& device, const Binding& binding) {
  const auto update = binding.kernel->functions.update_params;
  if (binding.instance == nullptr || update == nullptr) {
    return binding.instance == nullptr;  // what keeps nothing has nothing to read again
  }
  plugin::ErrorText text;
  const CurrentDevice current(binding);
  std::int32_t status = update(binding.instance, &CreateArgs(binding, device).get(), &text.error);
  if (status == LH_OK) {
    status = wait_for_work(binding, text);
    if (status == LH_OK) {
      return true;
    }
  }
  return failure_of(layer, binding, "update_params", "read its changed params", status, text.said());
}

}  // namespace layerhub::dispatch
