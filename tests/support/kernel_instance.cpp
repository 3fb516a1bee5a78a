// SPDX-License-Identifier: Apache-2.0
#include "support/kernel_instance.hpp"

#include "support/thread_host.hpp"

#include <layerhub/sdk/call.hpp>

namespace layerhub::testing {

std::vector<DLTensor*> tensors_of(const lh_kernel& kernel, const CaseTensors& tensors,
                                  std::initializer_list<std::uint32_t> kinds) {
  std::vector<DLTensor*> found;
  for (const std::uint32_t kind : kinds) {
    for (std::uint32_t a = 0; a < kernel.n_args; ++a) {
      if (kernel.args[a].kind == kind) {
        found.push_back(tensors[a] ? tensors[a]->tensor() : nullptr);
      }
    }
  }
  return found;
}

void place_on(const TestDevice* device, const CaseTensors& tensors) {
  for (const auto& tensor : tensors) {
    if (tensor && device != nullptr) {
      tensor->place_on(*device);
    }
  }
}

void upload(const CaseTensors& tensors) {
  for (const auto& tensor : tensors) {
    if (tensor) {
      tensor->upload();
    }
  }
}

void download(const CaseTensors& tensors) {
  for (const auto& tensor : tensors) {
    if (tensor) {
      tensor->download();
    }
  }
}

void set_device(lh_call& call, const TestDevice* device) {
  call.device = device == nullptr ? DLDevice{kDLCPU, 0} : device->device();
  call.stream = device == nullptr ? nullptr : device->stream();
}

Outcome judged(std::int32_t status, const char* function, const ErrorText& error) {
  if (status == LH_OK) {
    return {Outcome::passed, {}};
  }
  if (status == LH_DECLINED) {
    return {Outcome::declined, {}};
  }
  return {Outcome::failed, std::string(function) + " returned " + std::to_string(status) + ": " +
                               std::string(error.text, error.error.length)};
}

Workspace::Workspace(std::size_t size, const TestDevice* device)
    : size_(size), bytes_(size + 128, std::byte{0xa5}), device_(device) {
  if (device_ != nullptr) {
    on_device_ = device_->allocate(size_ + 64);
    device_->upload(on_device_, bytes_.data(), size_ + 64);
  }
}

Workspace::~Workspace() {
  if (device_ != nullptr) {
    device_->release(on_device_);
  }
}

bool Workspace::is_overrun() {
  const auto differs = [](std::byte b) { return b != std::byte{0xa5}; };
  if (device_ == nullptr) {
    return std::any_of(host_data() + size_, bytes_.data() + bytes_.size(), differs);
  }
  device_->download(bytes_.data(), on_device_, size_ + 64);
  return std::any_of(bytes_.data() + size_, bytes_.data() + size_ + 64, differs);
}

Instance::~Instance() {
  if (instance_ != nullptr && kernel_.destroy != nullptr) {
    kernel_.destroy(instance_);
  }
}

std::vector<lh_attr> Instance::attributes() const {
  std::vector<lh_attr> attributes;
  for (std::uint32_t i = 0; i < kernel_.n_attrs; ++i) {
    lh_attr attribute = kernel_.attrs[i].fallback;
    const std::string_view name = sdk::view(attribute.name);
    if (attribute.kind == LH_ATTR_STRING) {
      attribute.value.s = sdk::str(made_.texts.find(name)->second);
    } else if (attribute.kind == LH_ATTR_FLOAT) {
      attribute.value.f = made_.numbers.find(name)->second;
    } else {
      attribute.value.i = static_cast<std::int64_t>(made_.numbers.find(name)->second);
    }
    attributes.push_back(attribute);
  }
  return attributes;
}

template <class Use>
Outcome Instance::with_args(const CaseTensors& tensors, std::uint32_t mode, Use&& use) const {
  const std::vector<lh_attr> attrs = attributes();
  const std::vector<DLTensor*> params = tensors_of(kernel_, tensors, {LH_ARG_PARAM});
  std::vector<lh_str> formats;
  for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
    if (kernel_.args[a].kind == LH_ARG_PARAM) {
      const sdk::BlockFormat* format = made_.tensors[a].format;
      formats.push_back(format == nullptr ? lh_str{} : sdk::str(format->name));
    }
  }
  lh_create_args args{};
  args.struct_size = sizeof args;
  args.mode = mode;
  args.host = ThreadHost::instance().host();
  lh_device_info info{};
  if (device_ != nullptr) {
    info = device_->info();
    args.device = &info;
    args.stream = device_->stream();
  }
  args.attrs = attrs.data();
  args.n_attrs = static_cast<std::uint32_t>(attrs.size());
  args.params = params.data();
  args.n_params = static_cast<std::uint32_t>(params.size());
  args.param_formats = formats.data();
  return use(args);
}

Outcome Instance::create(const CaseTensors& tensors, std::uint32_t mode) {
  if (kernel_.create == nullptr) {
    return {Outcome::passed, {}};
  }
  return with_args(tensors, mode, [&](const lh_create_args& args) {
    ErrorText error;
    return judged(kernel_.create(&args, &instance_, &error.error), "create", error);
  });
}

Outcome Instance::update_params(const CaseTensors& tensors, std::uint32_t mode) {
  if (kernel_.update_params == nullptr) {
    return {Outcome::passed, {}};
  }
  return with_args(tensors, mode, [&](const lh_create_args& args) {
    ErrorText error;
    return judged(kernel_.update_params(instance_, &args, &error.error), "update_params", error);
  });
}

Outcome Instance::infer(std::size_t& forward_workspace, std::size_t& backward_workspace) const {
  forward_workspace = backward_workspace = 0;
  if (kernel_.infer == nullptr) {
    return {Outcome::passed, {}};
  }
  std::vector<lh_shape> in, out;
  for (const std::uint32_t kind : {LH_ARG_INPUT, LH_ARG_STATE, LH_ARG_OUTPUT}) {
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (kernel_.args[a].kind != kind) {
        continue;
      }
      lh_shape shape{};
      if (kind == LH_ARG_OUTPUT) {
        out.push_back(shape);
        continue;
      }
      shape.ndim = static_cast<std::int32_t>(made_.tensors[a].shape.size());
      shape.dtype = made_.tensors[a].dtype;
      std::copy(made_.tensors[a].shape.begin(), made_.tensors[a].shape.end(), shape.dim);
      in.push_back(shape);
    }
  }
  ErrorText error;
  return judged(kernel_.infer(instance_, in.data(), static_cast<std::uint32_t>(in.size()), out.data(),
                              static_cast<std::uint32_t>(out.size()), nullptr, 0, &forward_workspace,
                              &backward_workspace, &error.error),
                "infer", error);
}

}  // namespace layerhub::testing
