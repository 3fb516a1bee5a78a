// SPDX-License-Identifier: Apache-2.0
// What running a kernel's forward and its backward share: its instance, its error text, its workspace.
#pragma once

#include "support/guarded_tensor.hpp"
#include "support/kernel_run.hpp"

#include <layerhub/abi.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace layerhub::testing {

// Per argument; empty for scalars and absent ones.
using CaseTensors = std::vector<std::unique_ptr<GuardedTensor>>;

// The tensors of these kinds, in the order in which lh_call has them; NULL where absent.
std::vector<DLTensor*> tensors_of(const lh_kernel& kernel, const CaseTensors& tensors,
                                  std::initializer_list<std::uint32_t> kinds);

// Puts the tensors on a device; brings its memory up to date, and back. Nothing without one.
void place_on(const TestDevice* device, const CaseTensors& tensors);
void upload(const CaseTensors& tensors);
void download(const CaseTensors& tensors);

// Sets a call's device and stream.
void set_device(lh_call& call, const TestDevice* device);

// The error buffer that a kernel writes its text into.
struct ErrorText {
  char text[512] = {};
  lh_error error{sizeof(lh_error), 0, text, sizeof text, 0};
};

// What a status of `function` means for the case.
Outcome judged(std::int32_t status, const char* function, const ErrorText& error);

// Memory for the workspace with a pattern in and behind it, on the host or on a device.
class Workspace {
 public:
  explicit Workspace(std::size_t size, const TestDevice* device = nullptr);
  Workspace(const Workspace&) = delete;
  ~Workspace();
  void* data() { return device_ != nullptr ? on_device_ : host_data(); }
  std::size_t size() const { return size_; }
  bool is_overrun();

 private:
  std::byte* host_data() { return bytes_.data() + (64 - reinterpret_cast<std::uintptr_t>(bytes_.data()) % 64) % 64; }

  std::size_t size_;
  std::vector<std::byte> bytes_;
  const TestDevice* device_;
  void* on_device_ = nullptr;
};

// The kernel's instance for a case, made from its tensors and destroyed with it; none where the kernel keeps nothing.
class Instance {
 public:
  Instance(const lh_kernel& kernel, const KernelCase& made, const TestDevice* device)
      : kernel_(kernel), made_(made), device_(device) {}
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance();

  Outcome create(const CaseTensors& tensors, std::uint32_t mode);
  // Passed at once where the kernel has no update_params.
  Outcome update_params(const CaseTensors& tensors, std::uint32_t mode);
  // The bytes of both workspaces; 0 where the kernel does not say.
  Outcome infer(std::size_t& forward_workspace, std::size_t& backward_workspace) const;
  const lh_instance* get() const { return instance_; }

 private:
  template <class Use>
  Outcome with_args(const CaseTensors& tensors, std::uint32_t mode, Use&& use) const;
  std::vector<lh_attr> attributes() const;

  const lh_kernel& kernel_;
  const KernelCase& made_;
  const TestDevice* device_;
  lh_instance* instance_ = nullptr;
};

}  // namespace layerhub::testing
