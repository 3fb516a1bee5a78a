// SPDX-License-Identifier: Apache-2.0
#include "support/kernel_run.hpp"

#include "support/guarded_tensor.hpp"
#include "support/kernel_instance.hpp"
#include "support/thread_host.hpp"
#include "support/tolerance.hpp"

#include <layerhub/sdk/call.hpp>

#include <algorithm>
#include <functional>
#include <optional>

namespace layerhub::testing {
namespace {

bool is_written(std::uint32_t kind) { return kind == LH_ARG_OUTPUT || kind == LH_ARG_STATE; }

class Run {
 public:
  Run(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made, const TestDevice* device)
      : kernel_(kernel),
        layer_(layer),
        made_(made),
        device_(device),
        tensors_(kernel.n_args),
        instance_(kernel, made, device),
        random_(std::hash<std::string>{}(made.text)) {
    make_tensors();
    make_reference();
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  Outcome outcome() {
    const Outcome created = create();
    if (created.kind != Outcome::passed) {
      return created;
    }
    std::vector<std::byte> first;
    for (const std::uint32_t width : {1u, 2u, 3u}) {
      if (device_ != nullptr && width == 3) {
        break;
      }
      Outcome called = call(width);
      if (called.kind != Outcome::passed) {
        called.complaint = std::to_string(width) + (width == 1 ? " thread: " : " threads: ") + called.complaint;
        return called;
      }
      const std::vector<std::byte> bytes = written_bytes();
      if (width == 1) {
        first = bytes;
      } else if ((kernel_.traits & LH_TRAIT_DETERMINISTIC) != 0 && bytes != first) {
        return {Outcome::failed,
                std::to_string(width) + " threads give other bits than one, though it is deterministic"};
      }
    }
    return {Outcome::passed, {}};
  }

  Outcome outcome_of_capture() {
    for (const auto& step : {&Run::create, &Run::start_call, &Run::capture}) {
      const Outcome outcome = (this->*step)();
      if (outcome.kind != Outcome::passed) {
        return outcome;
      }
    }
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (tensors_[a]) {
        tensors_[a]->restore();
      }
    }
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (tensors_[a] && kernel_.args[a].kind == LH_ARG_INPUT) {
        fill(a);
      }
    }
    remember();
    make_reference();
    restore();
    device_->replay(graph_);
    return finish_call(false);
  }

 private:
  void fill(std::uint32_t argument) {
    const bool is_input = kernel_.args[argument].kind == LH_ARG_INPUT;
    tensors_[argument]->fill(random_, made_.deviation, is_input ? made_.outliers : 0);
    if (is_input && made_.has_nan) {
      // A device may multiply a whole tile of values for all of its rows, by 0 where a row doesn't see them.
      tensors_[argument]->put_nan(random_, device_ != nullptr);
    }
  }

  void make_tensors() {
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      const TensorPlan& plan = made_.tensors[a];
      if (plan.present && plan.alias_of < 0) {
        tensors_[a] = std::make_unique<GuardedTensor>(plan, is_written(kernel_.args[a].kind));
        if (kernel_.args[a].kind == LH_ARG_OUTPUT) {
          tensors_[a]->spoil();
        } else {
          fill(a);
        }
      }
    }
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (made_.tensors[a].present && made_.tensors[a].alias_of >= 0) {
        const auto other = static_cast<std::size_t>(made_.tensors[a].alias_of);
        tensors_[a] = std::make_unique<GuardedTensor>(made_.tensors[a], *tensors_[other]);
      }
    }
    remember();
    place_on(device_, tensors_);
    upload(tensors_);  // a param is read when the instance is made
  }

  // Of all at once: an output in an input's place has the same memory.
  void remember() {
    for (const auto& tensor : tensors_) {
      if (tensor) {
        tensor->remember();
      }
    }
  }

  void make_reference() {
    wanted_ = {};
    wanted_.numbers = made_.numbers;
    wanted_.texts = made_.texts;
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (tensors_[a]) {
        sdk::RealTensor real{made_.tensors[a].shape, tensors_[a]->values()};
        if (kernel_.args[a].kind == LH_ARG_OUTPUT) {
          std::fill(real.values.begin(), real.values.end(), 0.0);
        }
        wanted_.tensors.emplace(sdk::view(kernel_.args[a].name), std::move(real));
      }
    }
    layer_.reference(wanted_);
  }

  Outcome create() { return instance_.create(tensors_, LH_MODE_INFERENCE); }

  void restore() {
    for (const auto& tensor : tensors_) {
      if (tensor) {
        tensor->restore();
      }
    }
    upload(tensors_);
  }

  Outcome start_call() {
    restore();
    std::size_t workspace_size = 0;
    std::size_t backward_workspace = 0;
    const Outcome inferred = instance_.infer(workspace_size, backward_workspace);
    if (inferred.kind == Outcome::passed) {
      workspace_.emplace(workspace_size, device_);
    }
    return inferred;
  }

  Outcome finish_call(bool is_declined) {
    download(tensors_);
    if (workspace_->is_overrun()) {
      return {Outcome::failed, "memory behind the workspace was written"};
    }
    return check(is_declined);
  }

  Outcome call(std::uint32_t width) {
    ThreadHost::instance().set_width(width);
    const Outcome started = start_call();
    if (started.kind != Outcome::passed) {
      return started;
    }
    const Outcome called = forward();
    return called.kind == Outcome::failed ? called : finish_call(called.kind == Outcome::declined);
  }

  Outcome capture() {
    Outcome called{Outcome::passed, {}};
    std::string why;
    graph_ = device_->capture([&] { called = forward(); }, why);
    return called.kind == Outcome::passed && graph_ == nullptr
               ? Outcome{Outcome::failed, "forward can't be captured: " + why}
               : called;
  }

  Outcome forward() {
    const std::vector<DLTensor*> in = tensors_of(kernel_, tensors_, {LH_ARG_INPUT, LH_ARG_PARAM});
    const std::vector<DLTensor*> out = tensors_of(kernel_, tensors_, {LH_ARG_OUTPUT, LH_ARG_STATE});
    std::vector<lh_scalar> scalars;
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      lh_scalar scalar{};
      const auto given = made_.numbers.find(sdk::view(kernel_.args[a].name));
      if (kernel_.args[a].kind == LH_ARG_SCALAR_INT) {
        scalar.i = static_cast<std::int64_t>(given->second);
      } else if (kernel_.args[a].kind == LH_ARG_SCALAR_FLOAT) {
        scalar.f = given->second;
      } else {
        continue;
      }
      scalars.push_back(scalar);
    }
    lh_call call{};
    call.struct_size = sizeof call;
    call.mode = LH_MODE_INFERENCE;
    call.host = ThreadHost::instance().host();
    set_device(call, device_);
    call.in = const_cast<const DLTensor* const*>(in.data());
    call.out = out.data();
    call.scalars = scalars.data();
    call.n_in = static_cast<std::uint16_t>(in.size());
    call.n_out = static_cast<std::uint16_t>(out.size());
    call.n_scalars = static_cast<std::uint16_t>(scalars.size());
    call.workspace = workspace_->data();
    call.workspace_size = workspace_->size();
    ErrorText error;
    std::int32_t status = LH_OK;
    const auto run = [&] { status = kernel_.forward(instance_.get(), &call, &error.error); };
    device_ == nullptr ? ThreadHost::on_small_stack(run) : run();  // a device may be of the calling thread
    return judged(status, "forward", error);
  }

  Outcome check(bool is_declined) {
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (!tensors_[a]) {
        continue;
      }
      const std::string name(sdk::view(kernel_.args[a].name));
      const std::string complaint = tensors_[a]->complaint();
      if (!complaint.empty()) {
        return {Outcome::failed, name + ": " + complaint};
      }
      if (!is_declined && is_written(kernel_.args[a].kind)) {
        const std::string different = difference(tensors_[a]->values(), wanted_.tensor(name).values,
                                                 tolerance_for(kernel_, made_.tensors[0].dtype));
        if (!different.empty()) {
          return {Outcome::failed, name + different};
        }
      }
    }
    return {is_declined ? Outcome::declined : Outcome::passed, {}};
  }

  std::vector<std::byte> written_bytes() const {
    std::vector<std::byte> bytes;
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (tensors_[a] && is_written(kernel_.args[a].kind)) {
        const std::vector<std::byte> more = tensors_[a]->element_bytes();
        bytes.insert(bytes.end(), more.begin(), more.end());
      }
    }
    return bytes;
  }

  const lh_kernel& kernel_;
  const KnownLayer& layer_;
  const KernelCase& made_;
  const TestDevice* device_;  // nullptr: the cpu
  CaseTensors tensors_;
  Instance instance_;  // goes before the tensors that it was made from
  std::optional<Workspace> workspace_;
  std::shared_ptr<void> graph_;
  std::mt19937_64 random_;
  sdk::ReferenceCall wanted_;
};

}  // namespace

Outcome run_case(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made, const TestDevice* device) {
  return Run(kernel, layer, made, device).outcome();
}

Outcome run_captured_case(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made,
                          const TestDevice* device) {
  return Run(kernel, layer, made, device).outcome_of_capture();
}

}  // namespace layerhub::testing
