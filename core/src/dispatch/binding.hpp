// SPDX-License-Identifier: Apache-2.0
// A kernel's instance made for one host layer on one device: immutable, shared by every row that it serves, and given
// back to its plugin when the last of them is gone.
#pragma once

#include "base/result.hpp"
#include "device/runtime.hpp"
#include "dispatch/constraint_program.hpp"
#include "dispatch/dense_check.hpp"
#include "dispatch/layout_cache.hpp"
#include "plugin/plugin.hpp"

#include <layerhub/detail/call.hpp>
#include <layerhub/device.hpp>
#include <layerhub/mapping.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace layerhub::dispatch {

// The counts of lh_call, as they stand there.
struct CallCounts {
  std::uint16_t n_in = 0, n_out = 0, n_scalars = 0, n_saved = 0;
};

struct Binding : detail::BoundCall {
  // What each call needs, together.
  std::int32_t (*forward)(const lh_instance*, const lh_call*, lh_error*) = nullptr;
  lh_instance* instance = nullptr;
  CallCounts counts;
  std::vector<const DLTensor*> fixed;  // what follows the host's inputs: absent optional ones, then the params
  std::uint32_t n_host_inputs = 0;
  std::uint32_t n_host_arguments = 0;           // of its forward
  std::uint32_t call_mode = LH_MODE_INFERENCE;  // as the kernel is told
  DLDevice device{kDLCPU, 0};
  std::array<std::uint8_t, detail::max_outputs> out_order{};  // where the host's n-th written tensor stands
  bool has_layouts = false;                                   // infer() has to be asked
  device::DeviceState* on_device = nullptr;                   // nullptr: the cpu

  std::shared_ptr<const plugin::Plugin> plugin;  // keeps the library open
  const plugin::Kernel* kernel = nullptr;        // of that plugin
  Device on;                                     // device, as hosts name it
  Mode mode = Mode::inference;

  std::vector<Member> members;    // copies of what the layer lent; their tensors point into these copies
  std::vector<ParamView> params;  // in the kernel's order, into members
  ConstraintProgram constraints;
  DenseCheck dense;
  LayoutCache::Arguments layout_arguments;
  mutable LayoutCache layouts;

  // Counted by calls in flight, read by explain().
  mutable std::atomic<std::uint64_t> declined{0}, refused{0};
  mutable std::atomic<std::uint32_t> last_refused{0};  // 1 + the constraint's number; 0: none yet

  Binding() = default;
  Binding(const Binding&) = delete;
  Binding& operator=(const Binding&) = delete;
  ~Binding();

  std::string kernel_name() const;  // "vector", as the plugin calls it
};

// What a host layer needs of a kernel and the other way round: count and kinds of arguments, members with their kinds.
// Decided from what metadata says, before a library is opened. Refused: signature_mismatch, naming what differs.
Result<void> check_signature(const detail::LayerType& layer, const hub::KernelInfo& kernel,
                             const std::vector<Member>& members);

// Compiles the constraints, fills in attributes, creates the instance. The signature has been checked.
// Refused: unsupported (constraints, LH_DECLINED from create), kernel_failed with the plugin's text.
Result<std::shared_ptr<const Binding>> make_binding(const detail::LayerType& layer, std::vector<Member> members,
                                                    std::shared_ptr<const plugin::Plugin> plugin,
                                                    const plugin::Kernel& kernel, const DeviceInfo& device, Mode mode);

}  // namespace layerhub::dispatch
