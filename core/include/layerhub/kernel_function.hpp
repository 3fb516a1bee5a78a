// SPDX-License-Identifier: Apache-2.0
// Kernels called as plain functions, with no layer of the host's around them and no fallback.
//
//   auto silu_and_mul = layerhub::get_kernel<void(const Tensor&, Tensor&)>(
//       LayerRepository{.repo_id = "layerhub/activation", .layer_name = "SiluAndMul", .version = 1});
//   silu_and_mul(x, y);
//
// Serves functions that a plugin provides beside its layers, and every layer that needs no weights and no attributes.
#pragma once

#include <layerhub/detail/call.hpp>
#include <layerhub/device.hpp>
#include <layerhub/export.hpp>
#include <layerhub/layer.hpp>
#include <layerhub/mapping.hpp>

#include <memory>
#include <string>
#include <vector>

namespace layerhub {

namespace detail {
// Binds the slot to the repository's kernel for the device. Throws Error.
LAYERHUB_API void bind_function(const LayerRef& function, const Repository& repository, Device device);
[[noreturn]] LAYERHUB_API void throw_function_refused(const LayerRef& function);
}  // namespace detail

template <class Signature>
class KernelFunction;

// Copies share the binding, which lives as long as one of them. Calls are [thread-safe].
template <class... Parameters>
class KernelFunction<void(Parameters...)> {
 public:
  // Throws Error: unsupported where a declared constraint does not hold or the kernel declines, kernel_failed with the
  // plugin's text.
  void operator()(Parameters... arguments) const {
    if (!detail::call_kernel<Parameters...>(*shared_, shared_->slot, shared_->type, arguments...)) {
      detail::throw_function_refused(shared_->layer_ref());
    }
  }

  // Use get_kernel.
  KernelFunction(const Repository& repository, std::string name, Device device)
      : shared_(std::make_shared<Shared>(std::move(name))) {
    detail::bind_function(shared_->layer_ref(), repository, device);
  }

  detail::LayerRef layer_ref() const { return shared_->layer_ref(); }  // for explain

 private:
  struct Shared {
    explicit Shared(std::string function) : name(std::move(function)) {
      using Found = detail::Signature<Parameters...>;
      type = {name, nullptr, Found::arguments.data(), static_cast<std::uint32_t>(Found::arguments.size()), true};
    }
    detail::LayerRef layer_ref() const {
      return {&slot, &type, this, [](const void*) { return std::vector<Member>{}; }};
    }
    std::string name;
    detail::LayerType type;
    mutable detail::LayerSlot slot;
  };
  std::shared_ptr<const Shared> shared_;
};

// The kernel of that name in the repository (LayerRepository::layer_name). The signature is a host's forward's: const
// tensors are inputs, others are written.
// Throws Error: not_found, no_variant, signature_mismatch with what differs, and what loading can meet. [thread-safe]
template <class Signature>
KernelFunction<Signature> get_kernel(const Repository& repository, Device device = Device::cpu()) {
  const std::string& name = std::visit([](const auto& r) -> const std::string& { return r.layer_name; }, repository);
  return {repository, name, device};
}

// Whether get_kernel would find a kernel of that name for the device; decided from metadata, no library is opened.
// Throws Error(invalid_argument) for a repository that can never be right. [thread-safe]
LAYERHUB_API bool has_kernel(const Repository& repository, Device device = Device::cpu());

// A library that is open in this process.
struct LoadedKernels {
  std::string repo_id, revision;     // empty for a local repository
  std::string variant;               // "layerhub1-cpu-x86_64-linux"
  std::string library;               // its path
  std::vector<std::string> kernels;  // "SiluAndMul: vector", sorted
};

// A copy of the list at this moment, sorted by path. [thread-safe]
LAYERHUB_API std::vector<LoadedKernels> loaded_kernels();

}  // namespace layerhub
