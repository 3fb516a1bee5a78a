// SPDX-License-Identifier: Apache-2.0
#include "dispatch/constraint_text.hpp"

#include "dispatch/constraint_program.hpp"

#include <fmt/format.h>

namespace layerhub::dispatch {

std::string dim_name(std::int32_t dim) {
  if (dim == -1) {
    return "the last dimension";
  }
  return dim < 0 ? fmt::format("dimension {} from the end", -dim) : fmt::format("dimension {}", dim);
}

std::string describe_constraint(const plugin::Kernel& kernel, const lh_constraint& c) {
  const std::string &a = kernel.arguments[c.arg].name, &b = kernel.arguments[c.other].name;
  switch (c.kind) {
    case LH_C_DTYPE_IN: return fmt::format("`{}` has a dtype that the kernel does not take", a);
    case LH_C_RANK: return fmt::format("`{}` has a rank that the kernel does not take", a);
    case LH_C_DIM_RANGE: return fmt::format("{} of `{}` is not in [{}, {}]", dim_name(c.dim), a, c.a, c.b);
    case LH_C_DIM_MULTIPLE: return fmt::format("{} of `{}` is not a multiple of {}", dim_name(c.dim), a, c.a);
    case LH_C_SAME_SHAPE: return fmt::format("`{}` and `{}` differ in shape", a, b);
    case LH_C_SAME_SHAPE_EXCEPT: return fmt::format("`{}` and `{}` differ in shape beyond {}", a, b, dim_name(c.dim));
    case LH_C_SAME_DTYPE: return fmt::format("`{}` and `{}` differ in dtype", a, b);
    case LH_C_DIM_RATIO:
      return c.a == c.b ? fmt::format("{} of `{}` is not {} of `{}`", dim_name(c.dim), a, dim_name(c.other_dim), b)
                        : fmt::format("{} of `{}` is not {}/{} of {} of `{}`", dim_name(c.dim), a, c.a, c.b,
                                      dim_name(c.other_dim), b);
    case LH_C_LAST_DIM_DENSE:
      return fmt::format(
          "`{}` is not dense in its last dimension, has a negative stride, or is written and has rows that overlap", a);
    case LH_C_ALIGNED: return fmt::format("`{}` is not aligned to {} bytes", a, c.a);
    default: return fmt::format("`{}` is not what the kernel takes", a);
  }
}

std::string ConstraintProgram::describe(std::uint32_t number) const {
  const Failure& failure = failures_.at(number);
  if (failure.declared != nullptr) {
    const std::string text = describe_constraint(*kernel_, *failure.declared);
    return failure.wanted < 0 ? text : fmt::format("{} (which gives {})", text, failure.wanted);
  }
  constexpr const char* of_one_tensor[] = {"has a dtype that the kernel does not take",
                                           "has a rank that the kernel does not take",
                                           "is not dense",
                                           "is not aligned to its elements",
                                           "is missing or on another device than the first tensor",
                                           "overlaps memory that the kernel reads or writes"};
  return fmt::format("`{}` {}", kernel_->arguments[failure.argument].name, of_one_tensor[failure.rule]);
}

}  // namespace layerhub::dispatch
