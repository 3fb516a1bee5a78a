// SPDX-License-Identifier: Apache-2.0
// ConstraintProgram::compile: names and weights go in, records of single tensors and relations of dimensions come out.
#include "dispatch/constraint_program.hpp"

#include "base/reason.hpp"
#include "device/device_types.hpp"
#include "dispatch/constraint_text.hpp"
#include "dispatch/tensor_layout.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

namespace layerhub::dispatch {
class ConstraintCompiler {
 public:
  ConstraintCompiler(const plugin::Kernel& kernel, std::span<const ParamView> params, std::uint32_t n_host_in)
      : kernel_(kernel), params_(params), n_host_in_(n_host_in) {}

  Result<ConstraintProgram> run() {
    program_.kernel_ = &kernel_;
    const device::DeviceType* type = device::find_device_type(static_cast<DLDeviceType>(kernel_.device_type));
    program_.data_is_handle_ = type != nullptr && type->data_is_handle;
    program_.tensors_.reserve(kernel_.arguments.size());
    program_.may_alias_.reserve(kernel_.arguments.size());
    program_.relations_.reserve(kernel_.constraints.size());
    program_.failures_.reserve(6 * kernel_.arguments.size() + kernel_.constraints.size());
    place_tensors();
    for (const lh_constraint& c : kernel_.constraints) {
      compile(c);
    }
    check_params();
    if (!refusal_.empty()) {
      return make_reason(
          ErrorCode::unsupported, "constraint",
          fmt::format("kernel `{}`: {}; its own forward can serve this layer", kernel_.implementation, refusal_));
    }
    return std::move(program_);
  }

 private:
  using Program = ConstraintProgram;
  static constexpr int absent = -1;

  // Which record an argument has, or which param it is.
  struct Place {
    int tensor = absent;
    int param = absent;
  };

  void place_tensors() {
    places_.resize(kernel_.arguments.size());
    std::uint8_t in = 0, param = 0;
    for (std::size_t i = 0; i < kernel_.arguments.size(); ++i) {
      const hub::Argument& argument = kernel_.arguments[i];
      if (argument.kind == LH_ARG_INPUT && in < n_host_in_) {
        places_[i].tensor = add_tensor(argument, in++, false);
      } else if (argument.kind == LH_ARG_PARAM) {
        places_[i].param = param++;
      }
    }
    std::uint8_t out = 0;
    for (const std::uint32_t kind : {LH_ARG_OUTPUT, LH_ARG_STATE}) {
      for (std::size_t i = 0; i < kernel_.arguments.size(); ++i) {
        if (kernel_.arguments[i].kind == kind) {
          places_[i].tensor = add_tensor(kernel_.arguments[i], out++, true);
        }
      }
    }
    for (const ParamView& param_view : params_) {
      if (param_view.tensor != nullptr && (kernel_.functions.traits & LH_TRAIT_OWNS_PARAMS) == 0) {
        const DLTensor& x = *param_view.tensor;
        std::int64_t last = 0;
        for (std::int32_t d = 0; d < x.ndim; ++d) {
          last += (x.shape[d] - 1) * x.strides[d];
        }
        program_.weights_.push_back(program_.span_of(x, (last + 1) * element_bytes(x.dtype)));
      }
    }
  }

  int add_tensor(const hub::Argument& argument, std::uint8_t index, bool written) {
    Program::Tensor t;
    t.index = index;
    t.written = written;
    t.optional = argument.optional;
    t.first_failure = static_cast<std::uint32_t>(program_.failures_.size());
    for (std::uint32_t rule = Program::fails_dtype; rule <= Program::fails_aliasing; ++rule) {
      program_.add_failure({static_cast<std::uint32_t>(&argument - kernel_.arguments.data()), rule});
    }
    program_.tensors_.push_back(t);
    program_.may_alias_.push_back(0);
    return static_cast<int>(program_.tensors_.size()) - 1;
  }

  const std::string& name_of(std::uint32_t argument) const { return kernel_.arguments[argument].name; }
  Program::Tensor& record(int tensor) { return program_.tensors_[static_cast<std::size_t>(tensor)]; }
  // The declared constraint that stands behind a check of one tensor.
  void declare(int tensor, std::uint32_t rule, const lh_constraint& c) {
    program_.failures_[record(tensor).first_failure + rule].declared = &c;
  }

  void compile(const lh_constraint& c) {
    const Place arg = places_[c.arg], other = places_[c.other];
    if (arg.param != absent) {
      return compile_param(c, arg.param, other);
    }
    if (arg.tensor == absent) {
      return;  // an optional input that this host does not pass, or a saved tensor
    }
    switch (c.kind) {
      case LH_C_DTYPE_IN: return narrow_dtypes(arg.tensor, c);
      case LH_C_RANK: return narrow_rank(arg.tensor, c);
      case LH_C_STRIDED_OK: record(arg.tensor).layout = Program::Layout::any; return;
      case LH_C_LAST_DIM_DENSE:
        if (record(arg.tensor).layout == Program::Layout::dense) {
          record(arg.tensor).layout = Program::Layout::last_dim_dense;
          declare(arg.tensor, Program::fails_layout, c);
        }
        return;
      case LH_C_ALIGNED:
        record(arg.tensor).alignment_mask |= static_cast<std::uint64_t>(c.a) - 1;
        declare(arg.tensor, Program::fails_alignment, c);
        return;
      case LH_C_MAY_ALIAS:
        if (other.tensor != absent) {
          program_.may_alias_[static_cast<std::size_t>(arg.tensor)] |= 1u << other.tensor;
          program_.may_alias_[static_cast<std::size_t>(other.tensor)] |= 1u << arg.tensor;
        }
        return;
      case LH_C_DIM_RANGE: return relate(c, Program::Op::range, arg.tensor, 0, c.dim, 0, c.a, c.b);
      case LH_C_DIM_MULTIPLE: return relate(c, Program::Op::multiple, arg.tensor, 0, c.dim, 0, c.a, 0);
      default: return compile_pair(c, arg.tensor, other);
    }
  }

  // A relation between a tensor of the call and another one or a weight.
  void compile_pair(const lh_constraint& c, int tensor, Place other) {
    if (other.param != absent) {
      const ParamView& weight = params_[static_cast<std::size_t>(other.param)];
      if (weight.tensor != nullptr) {
        relate_to_weight(c, tensor, c.dim, weight, c.other_dim, c.a, c.b);
      }
      return;
    }
    if (other.tensor == absent) {
      return;
    }
    switch (c.kind) {
      case LH_C_SAME_SHAPE: return relate(c, Program::Op::same_shape, tensor, other.tensor, Program::no_dim, 0, 0, 0);
      case LH_C_SAME_SHAPE_EXCEPT: return relate(c, Program::Op::same_shape, tensor, other.tensor, c.dim, 0, 0, 0);
      case LH_C_SAME_DTYPE: return relate(c, Program::Op::same_dtype, tensor, other.tensor, 0, 0, 0, 0);
      default: return relate(c, Program::Op::ratio, tensor, other.tensor, c.dim, c.other_dim, c.a, c.b);
    }
  }

  // The weight's side is a number from here on: shape[dim] * b == weight * a.
  void relate_to_weight(const lh_constraint& c, int tensor, std::int32_t dim, const ParamView& weight,
                        std::int32_t weight_dim, std::int64_t a, std::int64_t b) {
    if (c.kind == LH_C_SAME_DTYPE) {
      lh_constraint only{};
      only.n_dtypes = 1;
      only.dtypes = &weight.tensor->dtype;
      narrow_dtypes(tensor, only);
      declare(tensor, Program::fails_dtype, c);
    } else if (c.kind == LH_C_DIM_RATIO) {
      const std::int32_t at = position(weight_dim, static_cast<std::int32_t>(weight.shape.size()));
      if (at < 0 || weight.shape[static_cast<std::size_t>(at)] * a % b != 0) {
        refuse(describe_constraint(kernel_, c));
        return;
      }
      const std::int64_t want = weight.shape[static_cast<std::size_t>(at)] * a / b;
      relate(c, Program::Op::range, tensor, 0, dim, 0, want, want, want);
    } else {
      const auto rank = static_cast<std::int64_t>(weight.shape.size());
      lh_constraint exact{};
      exact.a = exact.b = rank;
      narrow_rank(tensor, exact);
      for (std::int32_t d = 0; d < rank; ++d) {
        if (c.kind == LH_C_SAME_SHAPE || d != position(c.dim, static_cast<std::int32_t>(rank))) {
          const std::int64_t want = weight.shape[static_cast<std::size_t>(d)];
          relate(c, Program::Op::range, tensor, 0, d, 0, want, want);
        }
      }
    }
  }

  void compile_param(const lh_constraint& c, int param, Place other) {
    const ParamView& weight = params_[static_cast<std::size_t>(param)];
    if (weight.tensor == nullptr) {
      return;
    }
    const auto rank = static_cast<std::int32_t>(weight.shape.size());
    const std::int32_t at = position(c.dim, rank);
    const std::int64_t size = at < 0 ? -1 : weight.shape[static_cast<std::size_t>(at)];
    const std::string& name = name_of(c.arg);
    switch (c.kind) {
      case LH_C_DTYPE_IN:
        if (weight.format.empty() && std::none_of(c.dtypes, c.dtypes + c.n_dtypes, [&](DLDataType d) {
              return dtype_bits(d) == dtype_bits(weight.tensor->dtype);
            })) {
          refuse(fmt::format("param `{}` is {}, which it does not take", name, dtype_name(weight.tensor->dtype)));
        }
        return;
      case LH_C_RANK:
        if (rank < c.a || rank > c.b) refuse(fmt::format("param `{}` has rank {}", name, rank));
        return;
      case LH_C_DIM_RANGE:
        if (size < c.a || size > c.b)
          refuse(fmt::format("{} of param `{}` is {}, not in [{}, {}]", dim_name(c.dim), name, size, c.a, c.b));
        return;
      case LH_C_DIM_MULTIPLE:
        if (size < 0 || size % c.a != 0)
          refuse(fmt::format("{} of param `{}` is {}, not a multiple of {}", dim_name(c.dim), name, size, c.a));
        return;
      case LH_C_ALIGNED: param_alignment_[param] = c.a; return;
      case LH_C_STRIDED_OK:
      case LH_C_LAST_DIM_DENSE: param_strided_[param] = c.kind; return;
      case LH_C_MAY_ALIAS: return;
      default: break;
    }
    if (other.param != absent) {
      relate_weights(c, weight, params_[static_cast<std::size_t>(other.param)]);
    } else if (other.tensor != absent) {  // the same relation, seen from the tensor: other : arg = b : a
      relate_to_weight(c, other.tensor, c.kind == LH_C_DIM_RATIO ? c.other_dim : c.dim, weight, c.dim, c.b, c.a);
    }
  }

  void relate_weights(const lh_constraint& c, const ParamView& a, const ParamView& b) {
    if (b.tensor == nullptr) {
      return;
    }
    bool holds = true;
    if (c.kind == LH_C_SAME_DTYPE) {
      holds = dtype_bits(a.tensor->dtype) == dtype_bits(b.tensor->dtype) && a.format == b.format;
    } else if (c.kind == LH_C_DIM_RATIO) {
      const std::int32_t i = position(c.dim, static_cast<std::int32_t>(a.shape.size()));
      const std::int32_t j = position(c.other_dim, static_cast<std::int32_t>(b.shape.size()));
      holds =
          i >= 0 && j >= 0 && a.shape[static_cast<std::size_t>(i)] * c.b == b.shape[static_cast<std::size_t>(j)] * c.a;
    } else {
      std::vector<std::int64_t> shape_a = a.shape, shape_b = b.shape;
      const std::int32_t at =
          c.kind == LH_C_SAME_SHAPE ? -1 : position(c.dim, static_cast<std::int32_t>(shape_a.size()));
      if (at >= 0 && shape_a.size() == shape_b.size()) {
        shape_b[static_cast<std::size_t>(at)] = shape_a[static_cast<std::size_t>(at)];
      }
      holds = shape_a == shape_b;
    }
    if (!holds) {
      refuse(describe_constraint(kernel_, c));
    }
  }

  // What is closed unless stated, for weights: a known format or dtype, dense, aligned.
  void check_params() {
    int param = 0;
    for (const hub::Argument& argument : kernel_.arguments) {
      if (argument.kind != LH_ARG_PARAM) {
        continue;
      }
      const int number = param++;
      const ParamView& weight = params_[static_cast<std::size_t>(number)];
      if (weight.tensor == nullptr) {
        continue;
      }
      if (!weight.format.empty() &&
          std::find(argument.formats.begin(), argument.formats.end(), weight.format) == argument.formats.end()) {
        refuse(fmt::format(
            "param `{}` has the format {}, the kernel takes {}", argument.name, printable(weight.format),
            argument.formats.empty() ? "plain dtypes" : fmt::format("{}", fmt::join(argument.formats, ", "))));
      }
      check_param_memory(argument.name, number, *weight.tensor);
    }
  }

  void check_param_memory(const std::string& name, int param, const DLTensor& x) {
    const auto strided = param_strided_.find(param);
    std::int64_t expected = 1;
    for (std::int32_t d = x.ndim; d-- > 0; expected *= x.shape[d]) {
      const bool must_be_dense =
          strided == param_strided_.end() || (strided->second == LH_C_LAST_DIM_DENSE && d == x.ndim - 1);
      if (x.strides[d] < 0) {
        refuse(fmt::format("param `{}` has a negative stride", name));
        return;
      }
      if (must_be_dense && x.shape[d] != 1 && x.strides[d] != expected) {
        refuse(fmt::format("param `{}` is a strided view, the kernel takes dense ones", name));
        return;
      }
    }
    if (x.data == nullptr && expected != 0) {
      refuse(fmt::format("param `{}` has no data", name));
    }
    const auto aligned = param_alignment_.find(param);
    const auto bytes = static_cast<std::uintptr_t>(
        std::max(aligned == param_alignment_.end() ? 1 : aligned->second, element_bytes(x.dtype)));
    if ((reinterpret_cast<std::uintptr_t>(x.data) + x.byte_offset) % bytes != 0) {
      refuse(fmt::format("param `{}` is not aligned to {} bytes", name, bytes));
    }
  }

  // Every constraint of a kind narrows: what remains is what all of them allow.
  void narrow_dtypes(int tensor, const lh_constraint& c) {
    Program::Tensor& t = record(tensor);
    std::vector<std::uint32_t> allowed;
    for (std::uint32_t i = 0; i < c.n_dtypes; ++i) {
      const std::uint32_t bits = dtype_bits(c.dtypes[i]);
      if (t.n_dtypes == 0 || std::find(t.dtypes, t.dtypes + t.n_dtypes, bits) != t.dtypes + t.n_dtypes) {
        allowed.push_back(bits);
      }
    }
    if (allowed.empty()) {
      refuse(fmt::format("no dtype is left for `{}`", name_of(program_.failures_[t.first_failure].argument)));
      return;
    }
    std::copy(allowed.begin(), allowed.end(), t.dtypes);
    t.n_dtypes = static_cast<std::uint8_t>(allowed.size());
  }

  void narrow_rank(int tensor, const lh_constraint& c) {
    Program::Tensor& t = record(tensor);
    t.min_rank = std::max(t.min_rank, static_cast<std::int32_t>(std::clamp<std::int64_t>(c.a, 0, LH_MAX_RANK)));
    t.max_rank = std::min(t.max_rank, static_cast<std::int32_t>(std::clamp<std::int64_t>(c.b, 0, LH_MAX_RANK)));
  }

  void relate(const lh_constraint& c, Program::Op op, int tensor, int other, std::int32_t dim, std::int32_t other_dim,
              std::int64_t a, std::int64_t b, std::int64_t wanted = -1) {
    const std::uint32_t failure = program_.add_failure({c.arg, 0, &c, wanted});
    program_.relations_.push_back(
        {op, static_cast<std::uint8_t>(tensor), static_cast<std::uint8_t>(other), dim, other_dim, a, b, failure});
  }

  void refuse(std::string fact) {
    if (refusal_.empty()) {
      refusal_ = std::move(fact);
    }
  }

  const plugin::Kernel& kernel_;
  std::span<const ParamView> params_;
  std::uint32_t n_host_in_;
  ConstraintProgram program_;
  std::vector<Place> places_;
  std::map<int, std::int64_t> param_alignment_;
  std::map<int, std::uint32_t> param_strided_;
  std::string refusal_;
};

Result<ConstraintProgram> ConstraintProgram::compile(const plugin::Kernel& kernel, std::span<const ParamView> params,
                                                     std::uint32_t n_host_in) {
  return ConstraintCompiler(kernel, params, n_host_in).run();
}

}  // namespace layerhub::dispatch
