// SPDX-License-Identifier: Apache-2.0
#include "support/gradient_run.hpp"

#include "support/kernel_instance.hpp"
#include "support/thread_host.hpp"
#include "support/tolerance.hpp"

#include <layerhub/sdk/call.hpp>

#include <cmath>
#include <cstdio>
#include <functional>
#include <numeric>

namespace layerhub::testing {
namespace {

constexpr std::size_t samples_of_tensor = 64;
constexpr std::int64_t small_case = 2000;      // elements of all tensors of a case
constexpr std::int64_t large_budget = 250000;  // elements of all larger cases of a kernel together

std::int64_t count_of(const TensorPlan& plan) {
  return plan.present ? std::accumulate(plan.shape.begin(), plan.shape.end(), std::int64_t{1}, std::multiplies<>()) : 0;
}

std::int64_t element_count(const KernelCase& made) {
  return std::accumulate(made.tensors.begin(), made.tensors.end(), std::int64_t{0},
                         [](std::int64_t sum, const TensorPlan& plan) { return sum + count_of(plan); });
}

bool is_in_place(const KernelCase& made) {
  return std::any_of(made.tensors.begin(), made.tensors.end(),
                     [](const TensorPlan& plan) { return plan.alias_of >= 0; });
}

// A gradient's tensor: the shape and dtype of what it belongs to, dense. It begins at an odd element where that does.
TensorPlan gradient_plan(const TensorPlan& of) {
  TensorPlan plan = of;
  plan.byte_offset = of.byte_offset == 0 ? 0 : static_cast<std::uint64_t>(of.dtype.bits / 8 * 3);
  std::int64_t stride = 1;
  for (std::size_t d = plan.strides.size(); d-- > 0; stride *= std::max<std::int64_t>(plan.shape[d], 1)) {
    plan.strides[d] = stride;
  }
  return plan;
}

std::string text_of_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

class GradientRun {
 public:
  GradientRun(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made, const TestDevice* device)
      : kernel_(kernel),
        layer_(layer),
        made_(made),
        device_(device),
        tensors_(kernel.n_args),
        grad_out_(kernel.n_args),
        grad_in_(kernel.n_args),
        instance_(kernel, made, device),
        random_(std::hash<std::string>{}(made.text)) {
    for (std::uint32_t a = 0; a < kernel.n_args; ++a) {
      if (made.tensors[a].present) {
        make_tensors(a);
      }
    }
    for (const CaseTensors* tensors : {&tensors_, &grad_out_, &grad_in_}) {
      place_on(device, *tensors);
      upload(*tensors);
    }
  }

  Outcome outcome() {
    for (const auto& step : {&GradientRun::start, &GradientRun::check_threads, &GradientRun::check_gradients,
                             &GradientRun::check_subsets}) {
      Outcome outcome = (this->*step)();
      if (outcome.kind != Outcome::passed) {
        return outcome;
      }
    }
    return {Outcome::passed, {}};
  }

 private:
  void make_tensors(std::uint32_t a) {
    const TensorPlan& plan = made_.tensors[a];
    if (kernel_.args[a].kind == LH_ARG_OUTPUT) {
      grad_out_[a] = std::make_unique<GuardedTensor>(gradient_plan(plan), false);
      grad_out_[a]->fill(random_, 1);
      grad_out_[a]->remember();
      return;
    }
    tensors_[a] = std::make_unique<GuardedTensor>(plan, false);
    tensors_[a]->fill(random_, made_.deviation);
    if (plan.format == nullptr) {
      grad_in_[a] = std::make_unique<GuardedTensor>(gradient_plan(plan), true);
      grad_in_[a]->spoil();
      grad_in_[a]->remember();
    }
  }

  // Training changes params between steps: the kernel first sees other ones.
  Outcome start() {
    const Outcome created = instance_.create(tensors_, LH_MODE_TRAINING);
    if (created.kind != Outcome::passed) {
      return created;
    }
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (tensors_[a] && kernel_.args[a].kind == LH_ARG_PARAM && kernel_.update_params != nullptr) {
        tensors_[a]->fill(random_, made_.deviation);
      }
      if (tensors_[a]) {
        tensors_[a]->remember();
      }
    }
    upload(tensors_);
    return instance_.update_params(tensors_, LH_MODE_TRAINING);
  }

  Outcome check_threads() {
    for (const std::uint32_t width : {1u, 2u, 3u}) {
      if (device_ != nullptr && width == 3) {
        break;
      }
      ThreadHost::instance().set_width(width);
      const Outcome called = backward(~0u);
      if (called.kind != Outcome::passed) {
        return {called.kind, std::to_string(width) + (width == 1 ? " thread: " : " threads: ") + called.complaint};
      }
      const auto bytes = gradient_bytes();
      if (width == 1) {
        first_ = bytes;
      } else if ((kernel_.traits & LH_TRAIT_DETERMINISTIC) != 0 && bytes != first_) {
        return {Outcome::failed,
                std::to_string(width) + " threads give other bits than one, though it is deterministic"};
      }
    }
    return {Outcome::passed, {}};
  }

  // Every choice of gradients but all of them: those that are wanted do not depend on the others.
  Outcome check_subsets() {
    std::vector<std::uint32_t> places;
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (grad_in_[a]) {
        places.push_back(a);
      }
    }
    for (std::uint32_t choice = 0; choice + 1 < (1u << places.size()); ++choice) {
      std::uint32_t wanted = 0;
      for (std::size_t i = 0; i < places.size(); ++i) {
        wanted |= (choice >> i & 1u) << places[i];
      }
      const Outcome called = backward(wanted);
      if (called.kind != Outcome::passed) {
        return {called.kind, "with some gradients only: " + called.complaint};
      }
      for (const std::uint32_t a : places) {
        if ((wanted >> a & 1u) != 0 && grad_in_[a]->element_bytes() != first_[a]) {
          return {Outcome::failed, "the gradient of " + name(a) + " has other bits where others are not wanted"};
        }
      }
    }
    return {Outcome::passed, {}};
  }

  // wanted: one bit per argument.
  Outcome backward(std::uint32_t wanted) {
    std::size_t forward_size = 0, backward_size = 0;
    const Outcome inferred = instance_.infer(forward_size, backward_size);
    if (inferred.kind != Outcome::passed) {
      return inferred;
    }
    Workspace workspace(backward_size, device_);
    const std::vector<DLTensor*> in = tensors_of(kernel_, tensors_, {LH_ARG_INPUT, LH_ARG_PARAM});
    const std::vector<DLTensor*> grad_out = tensors_of(kernel_, grad_out_, {LH_ARG_OUTPUT});
    std::vector<DLTensor*> grad_in;
    for (const std::uint32_t kind : {LH_ARG_INPUT, LH_ARG_PARAM}) {
      for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
        if (kernel_.args[a].kind == kind) {
          grad_in.push_back(grad_in_[a] && (wanted >> a & 1u) != 0 ? grad_in_[a]->tensor() : nullptr);
        }
      }
    }
    for (const auto& tensor : grad_in_) {
      if (tensor) {
        tensor->restore();
      }
    }
    upload(grad_in_);
    lh_call call{};
    call.struct_size = sizeof call;
    call.mode = LH_MODE_TRAINING;
    call.host = ThreadHost::instance().host();
    set_device(call, device_);
    call.in = const_cast<const DLTensor* const*>(in.data());
    call.n_in = static_cast<std::uint16_t>(in.size());
    call.workspace = workspace.data();
    call.workspace_size = workspace.size();
    call.grad_out = const_cast<const DLTensor* const*>(grad_out.data());
    call.grad_in = grad_in.data();
    ErrorText error;
    const Outcome called = judged(kernel_.backward(instance_.get(), &call, &error.error), "backward", error);
    if (called.kind == Outcome::failed) {
      return called;
    }
    for (const CaseTensors* tensors : {&tensors_, &grad_out_, &grad_in_}) {
      download(*tensors);
    }
    if (workspace.is_overrun()) {
      return {Outcome::failed, "memory behind the workspace was written"};
    }
    const std::string complaint = write_complaint();
    return complaint.empty() ? called : Outcome{Outcome::failed, complaint};
  }

  std::string write_complaint() const {
    for (const CaseTensors* tensors : {&tensors_, &grad_out_, &grad_in_}) {
      for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
        const std::string complaint = (*tensors)[a] ? (*tensors)[a]->complaint() : std::string();
        if (!complaint.empty()) {
          return (tensors == &tensors_ ? "" : "the gradient of ") + name(a) + ": " + complaint;
        }
      }
    }
    return {};
  }

  Outcome check_gradients() {
    make_reference();
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (grad_in_[a]) {
        const std::string difference = compare(a);
        if (!difference.empty()) {
          return {Outcome::failed, "the gradient of " + name(a) + difference};
        }
      }
    }
    return {Outcome::passed, {}};
  }

  void make_reference() {
    call_.numbers = made_.numbers;
    call_.texts = made_.texts;
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      const TensorPlan& plan = made_.tensors[a];
      if (kernel_.args[a].kind == LH_ARG_OUTPUT) {
        const auto count = static_cast<std::size_t>(count_of(plan));
        call_.tensors.emplace(name(a), sdk::RealTensor{plan.shape, std::vector<double>(count)});
        weights_.push_back({a, grad_out_[a]->values()});
      } else if (tensors_[a]) {
        call_.tensors.emplace(name(a), sdk::RealTensor{plan.shape, tensors_[a]->values()});
      }
    }
  }

  // The outputs of all arguments with element i of argument a moved by `step`.
  std::vector<std::vector<double>> outputs_at(std::uint32_t a, std::size_t i, double step) {
    double& element = call_.tensor(name(a)).values[i];
    const double here = element;
    element += step;
    layer_.reference(call_);
    element = here;
    std::vector<std::vector<double>> outputs;
    for (const auto& [output, grad] : weights_) {
      outputs.push_back(call_.tensor(name(output)).values);
    }
    return outputs;
  }

  double difference_quotient(std::uint32_t a, std::size_t i, double step) {
    const auto above = outputs_at(a, i, step), below = outputs_at(a, i, -step);
    double sum = 0;
    for (std::size_t o = 0; o < weights_.size(); ++o) {
      for (std::size_t k = 0; k < above[o].size(); ++k) {
        sum += weights_[o].second[k] * (above[o][k] - below[o][k]);
      }
    }
    return sum / (2 * step);
  }

  std::vector<std::size_t> samples(std::size_t count) {
    std::vector<std::size_t> chosen(count);
    std::iota(chosen.begin(), chosen.end(), std::size_t{0});
    if (count > samples_of_tensor) {
      std::shuffle(chosen.begin(), chosen.end(), random_);
      chosen.resize(samples_of_tensor);
    }
    return chosen;
  }

  // Of the gradient of argument a; see gradient_run.hpp.
  lh_tolerance tolerance(std::uint32_t a, double largest) const {
    const lh_tolerance of_input = tolerance_for(kernel_, made_.tensors[0].dtype);
    lh_tolerance wider = tolerance_for(kernel_, made_.tensors[a].dtype);
    for (const auto& [output, grad] : weights_) {
      for (const double g : grad) {
        largest = std::max(largest, std::abs(g));
      }
    }
    wider.absolute = std::max(wider.absolute, of_input.absolute) * largest;
    wider.relative = std::max(wider.relative, of_input.relative);
    wider.max_nmse = std::max(wider.max_nmse, of_input.max_nmse);
    return wider;
  }

  std::string compare(std::uint32_t a) {
    const std::vector<double> got = grad_in_[a]->values();
    if (std::any_of(got.begin(), got.end(), [](double v) { return std::isnan(v); })) {
      return " has an element that is NaN or was not written";
    }
    const std::vector<double> x = tensors_[a]->values();
    std::vector<std::pair<std::size_t, double>> wanted;
    double largest = 1;
    for (const std::size_t i : samples(got.size())) {
      const double step = 1e-6 * std::max(1.0, std::abs(x[i]));
      if (std::abs(x[i]) > step) {  // about 0 a layer may have a kink
        wanted.emplace_back(i, difference_quotient(a, i, step));
        largest = std::max(largest, std::abs(wanted.back().second));
      }
    }
    const lh_tolerance allowed = tolerance(a, largest);
    double error = 0, power = 0;
    for (const auto& [i, want] : wanted) {
      const double off = std::abs(got[i] - want), bound = allowed.absolute + allowed.relative * std::abs(want);
      if (!(off <= bound)) {
        return "[" + std::to_string(i) + "] is " + text_of_number(got[i]) + ", want " + text_of_number(want) +
               " (off by " + text_of_number(off) + ", allowed " + text_of_number(bound) + ")";
      }
      error += off * off;
      power += want * want;
    }
    return allowed.max_nmse != 0 && error > allowed.max_nmse * power
               ? ": its mean square error is " + text_of_number(error / power) + " of its mean square"
               : "";
  }

  std::vector<std::vector<std::byte>> gradient_bytes() const {
    std::vector<std::vector<std::byte>> bytes;
    for (const auto& tensor : grad_in_) {
      bytes.push_back(tensor ? tensor->element_bytes() : std::vector<std::byte>());
    }
    return bytes;
  }

  std::string name(std::uint32_t a) const { return std::string(sdk::view(kernel_.args[a].name)); }

  const lh_kernel& kernel_;
  const KnownLayer& layer_;
  const KernelCase& made_;
  const TestDevice* device_;                  // nullptr: the cpu
  CaseTensors tensors_, grad_out_, grad_in_;  // each by argument
  Instance instance_;                         // goes before the tensors that it was made from
  std::mt19937_64 random_;
  std::vector<std::vector<std::byte>> first_;  // the gradients of one thread, by argument
  sdk::ReferenceCall call_;
  std::vector<std::pair<std::uint32_t, std::vector<double>>> weights_;  // of each output: its argument and grad_out
};

}  // namespace

std::vector<KernelCase> gradient_cases_for(const lh_kernel& kernel, const KnownLayer& layer) {
  std::vector<KernelCase> chosen, large;
  std::int64_t elements = 0;
  for (KernelCase& made : cases_for(kernel, layer)) {
    if (is_in_place(made) || made.has_nan) {
      continue;
    }
    const std::int64_t count = element_count(made);
    if (count <= small_case) {
      chosen.push_back(std::move(made));
    } else {
      elements += count;
      large.push_back(std::move(made));
    }
  }
  // The largest one always: it is the one that is given to several threads.
  std::stable_sort(large.begin(), large.end(),
                   [](const KernelCase& a, const KernelCase& b) { return element_count(a) > element_count(b); });
  const auto distance = static_cast<std::size_t>(elements / large_budget + 1);
  for (std::size_t i = 0; i < large.size(); i += distance) {
    chosen.push_back(std::move(large[i]));
  }
  return chosen;
}

Outcome run_backward_case(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made,
                          const TestDevice* device) {
  return GradientRun(kernel, layer, made, device).outcome();
}

}  // namespace layerhub::testing
