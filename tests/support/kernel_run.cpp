// SPDX-License-Identifier: Apache-2.0
#include "support/kernel_run.hpp"

#include "support/guarded_tensor.hpp"
#include "support/thread_host.hpp"

#include <layerhub/sdk/call.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>

namespace layerhub::testing {
namespace {

bool is_written(std::uint32_t kind) { return kind == LH_ARG_OUTPUT || kind == LH_ARG_STATE; }

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

// The error buffer that a kernel writes its text into.
struct ErrorText {
  char text[512] = {};
  lh_error error{sizeof(lh_error), 0, text, sizeof text, 0};
  std::string str() const { return std::string(text, error.length); }
};

// Memory for the workspace with a pattern behind it.
class Workspace {
 public:
  explicit Workspace(std::size_t size) : size_(size), bytes_(size + 128, std::byte{0xa5}) {}
  std::byte* data() { return bytes_.data() + (64 - reinterpret_cast<std::uintptr_t>(bytes_.data()) % 64) % 64; }
  std::size_t size() const { return size_; }
  bool is_overrun() {
    return std::any_of(data() + size_, bytes_.data() + bytes_.size(), [](std::byte b) { return b != std::byte{0xa5}; });
  }

 private:
  std::size_t size_;
  std::vector<std::byte> bytes_;
};

class Run {
 public:
  Run(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made)
      : kernel_(kernel), made_(made), tensors_(kernel.n_args), random_(std::hash<std::string>{}(made.text)) {
    make_tensors();
    make_reference(layer);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run() {
    if (instance_ != nullptr && kernel_.destroy != nullptr) {
      kernel_.destroy(instance_);
    }
  }

  Outcome outcome() {
    const Outcome created = create();
    if (created.kind != Outcome::passed) {
      return created;
    }
    std::vector<std::byte> first;
    for (const std::uint32_t width : {1u, 2u, 3u}) {
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

 private:
  void make_tensors() {
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      const TensorPlan& plan = made_.tensors[a];
      if (plan.present && plan.alias_of < 0) {
        tensors_[a] = std::make_unique<GuardedTensor>(plan, is_written(kernel_.args[a].kind));
        if (kernel_.args[a].kind == LH_ARG_OUTPUT) {
          tensors_[a]->spoil();
        } else {
          tensors_[a]->fill(random_, made_.deviation);
        }
      }
    }
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (made_.tensors[a].present && made_.tensors[a].alias_of >= 0) {
        const auto other = static_cast<std::size_t>(made_.tensors[a].alias_of);
        tensors_[a] = std::make_unique<GuardedTensor>(made_.tensors[a], *tensors_[other]);
      }
    }
    for (const auto& tensor : tensors_) {
      if (tensor) {
        tensor->remember();
      }
    }
  }

  void make_reference(const KnownLayer& layer) {
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
    layer.reference(wanted_);
  }

  std::vector<DLTensor*> tensors_of(std::initializer_list<std::uint32_t> kinds) {
    std::vector<DLTensor*> found;
    for (const std::uint32_t kind : kinds) {
      for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
        if (kernel_.args[a].kind == kind) {
          found.push_back(tensors_[a] ? tensors_[a]->tensor() : nullptr);
        }
      }
    }
    return found;
  }

  std::vector<lh_attr> attributes() const {
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

  Outcome create() {
    if (kernel_.create == nullptr) {
      return {Outcome::passed, {}};
    }
    const std::vector<lh_attr> attrs = attributes();
    const std::vector<DLTensor*> params = tensors_of({LH_ARG_PARAM});
    std::vector<lh_str> formats;
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (kernel_.args[a].kind == LH_ARG_PARAM) {
        const sdk::BlockFormat* format = made_.tensors[a].format;
        formats.push_back(format == nullptr ? lh_str{} : sdk::str(format->name));
      }
    }
    lh_create_args args{};
    args.struct_size = sizeof args;
    args.mode = LH_MODE_INFERENCE;
    args.host = ThreadHost::instance().host();
    args.attrs = attrs.data();
    args.n_attrs = static_cast<std::uint32_t>(attrs.size());
    args.params = params.data();
    args.n_params = static_cast<std::uint32_t>(params.size());
    args.param_formats = formats.data();
    ErrorText error;
    return judged(kernel_.create(&args, &instance_, &error.error), "create", error);
  }

  static Outcome judged(std::int32_t status, const char* function, const ErrorText& error) {
    if (status == LH_OK) {
      return {Outcome::passed, {}};
    }
    if (status == LH_DECLINED) {
      return {Outcome::declined, {}};
    }
    return {Outcome::failed, std::string(function) + " returned " + std::to_string(status) + ": " + error.str()};
  }

  Outcome infer(std::size_t& workspace) {
    if (kernel_.infer == nullptr) {
      return {Outcome::passed, {}};
    }
    std::vector<lh_shape> in;
    for (const std::uint32_t kind : {LH_ARG_INPUT, LH_ARG_STATE}) {
      for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
        if (kernel_.args[a].kind == kind) {
          lh_shape shape{};
          shape.ndim = static_cast<std::int32_t>(made_.tensors[a].shape.size());
          shape.dtype = made_.tensors[a].dtype;
          std::copy(made_.tensors[a].shape.begin(), made_.tensors[a].shape.end(), shape.dim);
          in.push_back(shape);
        }
      }
    }
    std::vector<lh_shape> out(tensors_of({LH_ARG_OUTPUT}).size());
    std::size_t backward = 0;
    ErrorText error;
    return judged(
        kernel_.infer(instance_, in.data(), static_cast<std::uint32_t>(in.size()), out.data(),
                      static_cast<std::uint32_t>(out.size()), nullptr, 0, &workspace, &backward, &error.error),
        "infer", error);
  }

  Outcome call(std::uint32_t width) {
    ThreadHost::instance().set_width(width);
    for (const auto& tensor : tensors_) {
      if (tensor) {
        tensor->restore();
      }
    }
    std::size_t workspace_size = 0;
    const Outcome inferred = infer(workspace_size);
    if (inferred.kind != Outcome::passed) {
      return inferred;
    }
    Workspace workspace(workspace_size);
    const Outcome called = forward(workspace);
    if (called.kind == Outcome::failed) {
      return called;
    }
    if (workspace.is_overrun()) {
      return {Outcome::failed, "memory behind the workspace was written"};
    }
    return check(called.kind == Outcome::declined);
  }

  Outcome forward(Workspace& workspace) {
    const std::vector<DLTensor*> in = tensors_of({LH_ARG_INPUT, LH_ARG_PARAM});
    const std::vector<DLTensor*> out = tensors_of({LH_ARG_OUTPUT, LH_ARG_STATE});
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
    call.device = {kDLCPU, 0};
    call.in = const_cast<const DLTensor* const*>(in.data());
    call.out = out.data();
    call.scalars = scalars.data();
    call.n_in = static_cast<std::uint16_t>(in.size());
    call.n_out = static_cast<std::uint16_t>(out.size());
    call.n_scalars = static_cast<std::uint16_t>(scalars.size());
    call.workspace = workspace.data();
    call.workspace_size = workspace.size();
    ErrorText error;
    return judged(kernel_.forward(instance_, &call, &error.error), "forward", error);
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
        const std::string difference = compare(a, wanted_.tensor(name).values);
        if (!difference.empty()) {
          return {Outcome::failed, name + difference};
        }
      }
    }
    return {is_declined ? Outcome::declined : Outcome::passed, {}};
  }

  // The row of the first input's dtype, or the widest bounds of all rows.
  lh_tolerance tolerance() const {
    lh_tolerance widest{};
    for (std::uint32_t i = 0; i < kernel_.n_tolerances; ++i) {
      const lh_tolerance& row = kernel_.tolerances[i];
      if (sdk::same(row.dtype, made_.tensors[0].dtype)) {
        return row;
      }
      widest.relative = std::max(widest.relative, row.relative);
      widest.absolute = std::max(widest.absolute, row.absolute);
      widest.max_nmse = std::max(widest.max_nmse, row.max_nmse);
    }
    return widest;
  }

  std::string compare(std::uint32_t argument, const std::vector<double>& want) const {
    const lh_tolerance allowed = tolerance();
    const std::vector<double> got = tensors_[argument]->values();
    double error = 0;
    double power = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      const bool both_nan = std::isnan(want[i]) && std::isnan(got[i]);
      const double off = both_nan || got[i] == want[i] ? 0 : std::abs(got[i] - want[i]);
      const double bound = allowed.absolute + allowed.relative * std::abs(want[i]);
      if (!(off <= bound)) {
        return "[" + std::to_string(i) + "] is " + number(got[i]) + ", want " + number(want[i]) + " (off by " +
               number(off) + ", allowed " + number(bound) + ")";
      }
      error += off * off;
      power += want[i] * want[i];
    }
    if (allowed.max_nmse != 0 && error > allowed.max_nmse * power) {
      return ": its mean square error is " + number(error / power) + " of its mean square, allowed " +
             number(allowed.max_nmse);
    }
    return {};
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
  const KernelCase& made_;
  std::vector<std::unique_ptr<GuardedTensor>> tensors_;  // per argument; empty for scalars and absent ones
  std::mt19937_64 random_;
  sdk::ReferenceCall wanted_;
  lh_instance* instance_ = nullptr;
};

}  // namespace

Outcome run_case(const lh_kernel& kernel, const KnownLayer& layer, const KernelCase& made) {
  return Run(kernel, layer, made).outcome();
}

}  // namespace layerhub::testing
