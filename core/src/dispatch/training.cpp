// SPDX-License-Identifier: Apache-2.0
// Forward in training mode and the backward that belongs to it. Neither is on the path of inference: both may lock, and
// keep what they need in the host's Saved.
#include "base/log.hpp"
#include "base/reason.hpp"
#include "dispatch/call_frame.hpp"
#include "dispatch/instance.hpp"
#include "dispatch/layer_state.hpp"
#include "dispatch/out_of_line.hpp"
#include "dispatch/run_call.hpp"
#include "dispatch/tensor_layout.hpp"

#include <layerhub/buffer.hpp>
#include <layerhub/explain.hpp>
#include <layerhub/kernelize.hpp>
#include <layerhub/sdk/call.hpp>
#include <layerhub/training.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>

namespace layerhub {

namespace dispatch {
namespace {

constexpr std::size_t saved_alignment = 64;

// A view with the shape and strides in it.
struct KeptTensor {
  DLTensor tensor{};
  std::array<std::int64_t, LH_MAX_RANK> shape{}, strides{};

  void keep(const DLTensor* x) {
    tensor = x == nullptr ? DLTensor{} : *x;
    std::copy_n(tensor.shape, tensor.ndim, shape.data());
    std::copy_n(tensor.strides, tensor.ndim, strides.data());
    point();
  }
  void point() {
    tensor.shape = shape.data();
    tensor.strides = strides.data();
  }
  std::size_t make_dense(const lh_shape& of, DLDevice device) {
    tensor = {nullptr, device, of.ndim, of.dtype, nullptr, nullptr, 0};
    std::int64_t elements = 1;
    for (std::int32_t d = of.ndim; d-- > 0; elements *= of.dim[d]) {
      shape[static_cast<std::size_t>(d)] = of.dim[d];
      strides[static_cast<std::size_t>(d)] = elements;
    }
    point();
    return static_cast<std::size_t>(elements * element_bytes(of.dtype));
  }
};

}  // namespace
}  // namespace dispatch

namespace detail {

struct SavedState {
  const void* layer = nullptr;                       // whose forward it was, as its LayerRef names it
  std::shared_ptr<const dispatch::Binding> binding;  // nullptr: forward was the host's own
  bool is_filled = false;
  std::size_t n_in = 0, n_out = 0, n_saved = 0;
  std::array<dispatch::KeptTensor, max_inputs> in;  // the host's inputs
  std::array<dispatch::KeptTensor, max_outputs> out, saved;
  std::array<lh_scalar, max_scalars> scalars{};
  std::size_t backward_workspace = 0;
  Buffer memory;  // of the saved tensors, on the binding's device
};

namespace {

using dispatch::Binding;
using dispatch::FrameLease;

[[noreturn]] void wrong(const LayerType& type, const std::string& fact) {
  throw Error(make_reason(ErrorCode::invalid_argument, "backward", fmt::format("layer `{}`: {}", type.name, fact)));
}

// What serves the layer's training on the device: the row of kernelize, or one of the mapping in force.
std::shared_ptr<const Binding> training_binding(const LayerRef& layer, DLDevice device) {
  const std::shared_ptr<const dispatch::MappingValue> current = dispatch::current_mapping_value();
  CallOptions options = current->options;
  const auto kept = static_cast<std::uint32_t>(options.mode) & ~static_cast<std::uint32_t>(Mode::inference);
  options.mode = static_cast<Mode>(kept) | Mode::training;
  const std::shared_ptr<const dispatch::MappingValue> context = dispatch::with_options(current, options);
  for (;;) {
    {
      LayerState& state = dispatch::state_of(layer);
      std::lock_guard lock(state.mutex);
      for (const dispatch::Decision& row : state.rows) {
        if (device_key(row.tensors) == device_key(device) &&
            (row.mapping == any_mapping || row.mapping == context->id)) {
          return has(row.mode, Mode::training) ? row.binding : nullptr;
        }
      }
    }
    dispatch::bind_for_call(layer, device, context);
  }
}

void keep_arguments(SavedState& saved, const CallArguments& arguments) {
  saved.n_in = arguments.n_in;
  saved.n_out = arguments.n_out;
  for (std::size_t i = 0; i < saved.n_in; ++i) {
    saved.in[i].keep(arguments.in[i]);
  }
  for (std::size_t i = 0; i < saved.n_out; ++i) {
    saved.out[i].keep(arguments.out[i]);
  }
  std::copy_n(arguments.scalars, arguments.n_scalars, saved.scalars.data());
  saved.is_filled = true;
}

// Room for the saved tensors, one after the other. A status, with its text in the frame.
std::int32_t place_saved(const Binding& binding, SavedState& saved, const lh_shape* shapes, CallFrame& frame) {
  std::array<std::size_t, max_outputs> offsets{};
  std::size_t size = 0;
  for (std::size_t i = 0; i < saved.n_saved; ++i) {
    offsets[i] = size;
    const std::size_t bytes = saved.saved[i].make_dense(shapes[i], binding.device);
    size += (bytes + dispatch::saved_alignment - 1) / dispatch::saved_alignment * dispatch::saved_alignment;
  }
  if (size > saved.memory.size() || (size != 0 && saved.memory.device() != binding.on)) {
    try {
      saved.memory = Buffer(binding.on, size);
    } catch (const Error& error) {
      return sdk::fail(&frame.error, error.code() == ErrorCode::device_lost ? LH_DEVICE_LOST : LH_OUT_OF_MEMORY,
                       error.what());
    }
  }
  for (std::size_t i = 0; i < saved.n_saved; ++i) {
    saved.saved[i].tensor.data = saved.memory.data();  // on some devices no address that could be added to
    saved.saved[i].tensor.byte_offset = offsets[i];
  }
  return LH_OK;
}

// Asks infer() for the shapes of what is saved and both workspaces. A status, with its text in the frame.
std::int32_t prepare_saved(const Binding& binding, SavedState& saved, CallFrame& frame,
                           std::size_t& forward_workspace) {
  saved.n_saved = binding.counts.n_saved;
  saved.backward_workspace = 0;
  if (binding.kernel->functions.infer == nullptr) {
    return saved.n_saved == 0 ? LH_OK : LH_INTERNAL;
  }
  std::array<lh_shape, max_inputs> in{};
  std::array<lh_shape, max_outputs> out{}, shapes{};
  const auto inputs = static_cast<std::uint32_t>(binding.layout_arguments.n_in);
  for (std::size_t i = 0; i < inputs; ++i) {
    if (i < saved.n_in && frame.in[i] != nullptr) {
      in[i].ndim = frame.in[i]->ndim;
      in[i].dtype = frame.in[i]->dtype;
      std::copy_n(frame.in[i]->shape, frame.in[i]->ndim, in[i].dim);
    }
  }
  const std::int32_t status = binding.kernel->functions.infer(
      binding.instance, in.data(), inputs, out.data(), binding.counts.n_out, shapes.data(),
      static_cast<std::uint32_t>(saved.n_saved), &forward_workspace, &saved.backward_workspace, &frame.error);
  return status == LH_OK ? place_saved(binding, saved, shapes.data(), frame) : status;
}

std::int32_t run_training(const Binding& binding, SavedState& saved, CallFrame& frame) {
  if (const std::int32_t status = dispatch::check_constraints(binding, frame); status != LH_OK) {
    return status;
  }
  const auto need = [&](std::size_t& workspace) { return prepare_saved(binding, saved, frame, workspace); };
  return dispatch::run_where_bound(binding, frame, need, [&] {
    std::array<DLTensor*, max_outputs> tensors{};
    for (std::size_t i = 0; i < saved.n_saved; ++i) {
      tensors[i] = &saved.saved[i].tensor;
    }
    lh_call call = dispatch::whole_call(binding, frame);
    call.mode = static_cast<std::uint32_t>(binding.mode);
    call.saved = tensors.data();
    return binding.forward(binding.instance, &call, &frame.error);
  });
}

// The gradients of one backward, sorted into the places where the kernel looks for them.
class Gradients {
 public:
  Gradients(const LayerRef& layer, const Binding& binding, const SavedState& saved)
      : type_(*layer.type), binding_(binding), saved_(saved) {}

  void place(const GradientArgument* arguments, std::size_t count) {
    std::size_t position = 0;
    for (const GradientArgument& argument : std::span(arguments, count)) {
      if (!argument.param.empty()) {
        place_param(argument);
      } else if (position < saved_.n_out) {
        place_out(position++, argument.tensor);
      } else {
        place_in(position++ - saved_.n_out, argument.tensor);
      }
    }
    if (position < saved_.n_out) {
      wrong(type_, fmt::format("backward got the gradients of {} outputs, forward has {}; pass one for each", position,
                               saved_.n_out));
    }
    check_overlaps();
  }

  const DLTensor* const* out() const { return out_.data(); }
  DLTensor* const* in() const { return in_.data(); }

 private:
  void place_out(std::size_t i, const DLTensor* gradient) {
    if (gradient == nullptr) {
      wrong(type_, fmt::format("the gradient of output {} is missing; pass one for each output", i));
    }
    check(*gradient, saved_.out[i].tensor, fmt::format("the gradient of output {}", i));
    out_[binding_.out_order[i]] = gradient;
  }
  void place_in(std::size_t i, DLTensor* gradient) {
    if (i >= saved_.n_in) {
      wrong(type_, fmt::format("backward got more than {} gradients of inputs; name those of params with "
                               "param_gradient",
                               saved_.n_in));
    }
    if (gradient != nullptr) {
      check(*gradient, saved_.in[i].tensor, fmt::format("the gradient of input {}", i));
    }
    in_[i] = gradient;
  }
  void place_param(const GradientArgument& argument) {
    std::size_t at = binding_.layout_arguments.n_in;
    for (const hub::Argument& declared : binding_.kernel->arguments) {
      if (declared.kind != LH_ARG_PARAM) {
        continue;
      }
      const DLTensor* param = binding_.fixed[at - binding_.n_host_inputs];
      if (declared.name == argument.param && param != nullptr) {
        check(*argument.tensor, *param, fmt::format("the gradient of `{}`", argument.param));
        in_[at] = argument.tensor;
        return;
      }
      ++at;
    }
    wrong(type_, fmt::format("backward got the gradient of `{}`, which is no param that it lends to kernel `{}`",
                             printable(argument.param), binding_.kernel_name()));
  }

  void check(const DLTensor& gradient, const DLTensor& of, const std::string& name) const {
    std::int64_t expected = 1;
    bool is_dense = true;
    for (std::int32_t d = gradient.ndim; d-- > 0; expected *= gradient.shape[d]) {
      is_dense &= gradient.shape[d] == 1 || gradient.strides[d] == expected;
    }
    if (gradient.ndim != of.ndim || !std::equal(of.shape, of.shape + of.ndim, gradient.shape) ||
        dispatch::dtype_bits(gradient.dtype) != dispatch::dtype_bits(of.dtype)) {
      wrong(type_, name + " is not of the shape and dtype of what it belongs to");
    }
    const auto bytes = static_cast<std::uintptr_t>(dispatch::element_bytes(gradient.dtype));
    if (!is_dense || dispatch::first_byte(gradient) % bytes != 0) {
      wrong(type_, name + " is not dense or not aligned to its elements; pass a dense tensor");
    }
    if (device_key(gradient.device) != device_key(of.device)) {
      wrong(type_, name + " is on another device than what it belongs to; move it there");
    }
  }

  // What is written overlaps nothing else that the kernel reads or writes.
  void check_overlaps() const {
    std::vector<const DLTensor*> all(in_.begin(), in_.end());
    all.insert(all.end(), out_.begin(), out_.end());
    for (std::size_t i = 0; i < saved_.n_in; ++i) {
      all.push_back(&saved_.in[i].tensor);
    }
    all.insert(all.end(), binding_.fixed.begin(), binding_.fixed.end());
    for (const DLTensor* written : in_) {
      for (const DLTensor* other : all) {
        if (written != nullptr && other != nullptr && other != written && dispatch::may_overlap(*written, *other)) {
          wrong(type_, "a gradient that backward writes overlaps another tensor of the call; give it its own memory");
        }
      }
    }
  }

  const LayerType& type_;
  const Binding& binding_;
  const SavedState& saved_;
  std::array<const DLTensor*, max_outputs> out_{};
  std::array<DLTensor*, max_inputs> in_{};
};

std::int32_t run_backward(const Binding& binding, const SavedState& saved, const Gradients& gradients,
                          CallFrame& frame) {
  for (std::size_t i = 0; i < saved.n_in; ++i) {
    frame.in[i] = saved.in[i].tensor.data == nullptr ? nullptr : &saved.in[i].tensor;
  }
  for (std::size_t i = 0; i < saved.n_out; ++i) {  // for messages alone: the kernel is given no outputs
    frame.out[binding.out_order[i]] = const_cast<DLTensor*>(&saved.out[i].tensor);
  }
  std::copy_n(saved.scalars.data(), binding.counts.n_scalars, frame.scalars);
  const auto need = [&](std::size_t& workspace) {
    workspace = saved.backward_workspace;
    return std::int32_t{LH_OK};
  };
  return dispatch::run_where_bound(binding, frame, need, [&] {
    std::array<DLTensor*, max_outputs> tensors{};
    for (std::size_t i = 0; i < saved.n_saved; ++i) {
      tensors[i] = const_cast<DLTensor*>(&saved.saved[i].tensor);
    }
    lh_call call = dispatch::whole_call(binding, frame);
    call.mode = static_cast<std::uint32_t>(binding.mode);
    call.n_out = 0;
    call.saved = tensors.data();
    call.grad_out = gradients.out();
    call.grad_in = gradients.in();
    return binding.kernel->functions.backward(binding.instance, &call, &frame.error);
  });
}

}  // namespace

bool call_training(const LayerRef& layer, Saved& kept, const CallArguments& arguments) {
  SavedState& saved = kept.state();
  saved.is_filled = false;
  saved.layer = layer.layer;
  saved.binding = training_binding(layer, arguments.device);
  keep_arguments(saved, arguments);
  if (saved.binding == nullptr) {
    return false;
  }
  FrameLease lease(attached_thread());
  write_to(lease.frame(), arguments);
  const std::int32_t status = run_training(*saved.binding, saved, lease.frame());
  if (status != LH_OK && is_own_forward(layer, *saved.binding, status, lease.frame(), "forward")) {
    saved.binding = nullptr;
  }
  return saved.binding != nullptr;
}

bool call_backward(const LayerRef& layer, const Saved& kept, const GradientArgument* arguments, std::size_t count) {
  const SavedState& saved = kept.state();
  if (!saved.is_filled) {
    wrong(*layer.type, "backward has no forward before it; call layer(saved, ...) first");
  }
  if (saved.layer != layer.layer) {
    wrong(*layer.type, "backward got what another layer's forward saved; keep one Saved for each call");
  }
  if (saved.binding == nullptr) {
    return false;
  }
  Gradients gradients(layer, *saved.binding, saved);
  gradients.place(arguments, count);
  FrameLease lease(attached_thread());
  const std::int32_t status = run_backward(*saved.binding, saved, gradients, lease.frame());
  return status == LH_OK || !is_own_forward(layer, *saved.binding, status, lease.frame(), "backward");
}

void throw_no_backward(const LayerRef& layer) {
  throw Error(make_reason(ErrorCode::unsupported, "backward",
                          fmt::format("layer `{}`: forward was its own and it has no own_backward; map a kernel that "
                                      "supports training, or give the layer one",
                                      layer.type->name),
                          {{"explain", explain_layer(layer)}}));
}

void update_layer_params(const std::vector<LayerRef>& layers) {
  for (const LayerRef& layer : layers) {
    bool all_updated = true;
    {
      LayerState& state = dispatch::state_of(layer);
      std::lock_guard lock(state.mutex);
      std::vector<const Binding*> seen;
      for (const dispatch::Decision& row : state.rows) {
        if (row.binding != nullptr && std::find(seen.begin(), seen.end(), row.binding.get()) == seen.end()) {
          seen.push_back(row.binding.get());
          all_updated &= dispatch::update_instance(*layer.type, device_info(row.device), *row.binding).value();
        }
      }
    }
    if (!all_updated) {
      rebind_layers({layer});
    }
  }
}

}  // namespace detail

Saved::Saved() : state_(std::make_unique<detail::SavedState>()) {}
Saved::~Saved() = default;
Saved::Saved(Saved&&) noexcept = default;
Saved& Saved::operator=(Saved&&) noexcept = default;

const DLTensor& Saved::input(std::size_t i) const {
  if (!state_->is_filled || i >= state_->n_in) {
    throw Error(make_reason(
        ErrorCode::invalid_argument, "backward",
        fmt::format("saved: there is no input {}; forward kept {}", i, state_->is_filled ? state_->n_in : 0)));
  }
  return state_->in[i].tensor;
}

}  // namespace layerhub
