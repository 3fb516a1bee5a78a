// SPDX-License-Identifier: Apache-2.0
#include "dispatch/binding.hpp"

#include "base/reason.hpp"
#include "device/device_table.hpp"
#include "device/streams.hpp"
#include "dispatch/instance.hpp"
#include "dispatch/run_call.hpp"

#include <layerhub/sdk/formats.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace layerhub::dispatch {
namespace {

// The logical shape of a weight, which is what constraints speak of: a block format packs several elements in a byte.
std::vector<std::int64_t> logical_shape(const Member& weight) {
  std::vector<std::int64_t> shape = weight.shape;
  if (const sdk::BlockFormat* format = sdk::find_block_format(weight.format)) {
    shape.back() = shape.back() / format->bytes * format->elements;
  }
  return shape;
}

Result<void> check_block_format(const detail::LayerType& layer, const Member& weight) {
  if (weight.format.empty()) {
    return success();
  }
  const sdk::BlockFormat* format = sdk::find_block_format(weight.format);
  const DLTensor& x = weight.tensor;
  if (format == nullptr) {
    return make_reason(
        ErrorCode::unsupported, "constraint",
        fmt::format("layer `{}`: its weight `{}` has the block format {}, which this layerhub does not know",
                    layer.name, weight.name, printable(weight.format)));
  }
  if (x.dtype.code != kDLUInt || x.dtype.bits != 8 || weight.shape.empty() ||
      weight.shape.back() % format->bytes != 0) {
    return make_reason(
        ErrorCode::signature_mismatch, "signature",
        fmt::format("layer `{}`: its weight `{}` is said to be {} but is not uint8 in rows of whole blocks of {} bytes",
                    layer.name, weight.name, weight.format, format->bytes));
  }
  return success();
}

// What a kernel is told in a call that saves nothing, which also a binding for training serves.
std::uint32_t call_mode(Mode mode) {
  static_assert(static_cast<std::uint32_t>(Mode::inference) == LH_MODE_INFERENCE &&
                static_cast<std::uint32_t>(Mode::training) == LH_MODE_TRAINING &&
                static_cast<std::uint32_t>(Mode::capture) == LH_MODE_CAPTURE &&
                static_cast<std::uint32_t>(Mode::deterministic) == LH_MODE_DETERMINISTIC);
  const std::uint32_t bits = static_cast<std::uint32_t>(mode);
  return (bits & ~std::uint32_t{LH_MODE_TRAINING}) | LH_MODE_INFERENCE;
}

class BindingMaker {
 public:
  BindingMaker(const detail::LayerType& layer, const DeviceInfo& device) : layer_(layer), device_(device) {}

  Result<std::shared_ptr<const Binding>> run(std::vector<Member> members, std::shared_ptr<const plugin::Plugin> plugin,
                                             const plugin::Kernel& kernel, Mode mode) {
    binding_->plugin = std::move(plugin);
    binding_->kernel = &kernel;
    binding_->on = device_.device;
    binding_->device = {device_.device.type, device_.device.ordinal};
    binding_->mode = mode;
    if (device_.device != Device::cpu()) {
      binding_->on_device = &device::find_device(device_.device);
      device::default_stream(*binding_->on_device);  // so that no call has to make it
    }
    binding_->members = std::move(members);
    BOOST_OUTCOME_TRY(place_params());
    place_arguments();
    BOOST_OUTCOME_TRY(binding_->constraints, ConstraintProgram::compile(kernel, binding_->params, host_inputs_));
    BOOST_OUTCOME_TRY(create_instance(layer_, device_, *binding_));
    binding_->forward = kernel.functions.forward;
    binding_->dense = DenseCheck(binding_->constraints);
    binding_->call_mode = call_mode(mode);
    binding_->has_layouts = kernel.functions.infer != nullptr && (kernel.traits & LH_TRAIT_NO_WORKSPACE) == 0;
    choose_run(*binding_);
    return std::shared_ptr<const Binding>(std::move(binding_));
  }

 private:
  const plugin::Kernel& kernel() const { return *binding_->kernel; }

  Result<void> place_params() {
    for (Member& member : binding_->members) {
      member.tensor.shape = member.shape.data();
      member.tensor.strides = member.strides.data();
      if (member.is_param && Device::of(member.tensor.device) != device_.device) {
        return make_reason(
            ErrorCode::unsupported, "constraint",
            fmt::format("layer `{}`: its weight `{}` is on {}, the kernel runs on {}; move it there before binding",
                        layer_.name, member.name, to_string(Device::of(member.tensor.device)),
                        to_string(device_.device)));
      }
    }
    for (const hub::Argument& argument : kernel().arguments) {
      if (argument.kind != LH_ARG_PARAM) {
        continue;
      }
      const Member* member = find_member(binding_->members, argument.name, true);
      ParamView param;
      if (member != nullptr) {
        BOOST_OUTCOME_TRY(check_block_format(layer_, *member));
        param = {&member->tensor, member->format, logical_shape(*member)};
      }
      binding_->params.push_back(std::move(param));
    }
    return success();
  }

  void place_arguments() {
    for (std::uint32_t i = 0; i < layer_.n_arguments; ++i) {
      host_inputs_ += layer_.arguments[i].kind == detail::HostArgumentKind::read_tensor ? 1u : 0u;
    }
    Binding& b = *binding_;
    const std::uint32_t inputs = kernel().count(LH_ARG_INPUT), outputs = kernel().count(LH_ARG_OUTPUT);
    b.fixed.assign(inputs - host_inputs_, nullptr);
    for (const ParamView& param : b.params) {
      b.fixed.push_back(param.tensor);
    }
    b.n_host_inputs = host_inputs_;
    b.n_host_arguments = layer_.n_arguments;
    b.counts.n_in = static_cast<std::uint16_t>(inputs + b.params.size());
    b.counts.n_out = static_cast<std::uint16_t>(outputs + kernel().count(LH_ARG_STATE));
    b.counts.n_saved = static_cast<std::uint16_t>(kernel().count(LH_ARG_SAVED));
    b.counts.n_scalars =
        static_cast<std::uint16_t>(kernel().count(LH_ARG_SCALAR_INT) + kernel().count(LH_ARG_SCALAR_FLOAT));
    b.layout_arguments = {inputs, outputs, kernel().count(LH_ARG_STATE)};
    std::uint8_t next_output = 0, next_state = static_cast<std::uint8_t>(outputs), written = 0;
    for (const hub::Argument& argument : kernel().arguments) {
      if (argument.kind == LH_ARG_OUTPUT) {
        b.out_order[written++] = next_output++;
      } else if (argument.kind == LH_ARG_STATE) {
        b.out_order[written++] = next_state++;
      }
    }
  }

  const detail::LayerType& layer_;
  const DeviceInfo& device_;
  std::shared_ptr<Binding> binding_ = std::make_shared<Binding>();
  std::uint32_t host_inputs_ = 0;
};

}  // namespace

Binding::~Binding() {
  if (instance == nullptr || kernel->functions.destroy == nullptr) {
    return;
  }
  if (on_device == nullptr) {
    kernel->functions.destroy(instance);
    return;
  }
  // What was enqueued may still read the instance, and the library has the code.
  device::after_streams(*on_device,
                        [library = plugin, destroy = kernel->functions.destroy, of = instance, on = on_device] {
                          const device::CurrentDevice current(*on);
                          destroy(of);
                        });
}

std::string Binding::kernel_name() const { return kernel->implementation; }

Result<std::shared_ptr<const Binding>> make_binding(const detail::LayerType& layer, std::vector<Member> members,
                                                    std::shared_ptr<const plugin::Plugin> plugin,
                                                    const plugin::Kernel& kernel, const DeviceInfo& device, Mode mode) {
  return BindingMaker(layer, device).run(std::move(members), std::move(plugin), kernel, mode);
}

}  // namespace layerhub::dispatch
