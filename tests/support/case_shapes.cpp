// SPDX-License-Identifier: Apache-2.0
// Constraints are few and point mostly backwards, so plain rounds until nothing changes are enough; where an
// unknown is left after that, one free dimension is chosen and the rounds begin again. What was chosen
// wrongly is found by the check at the end, and that case is not made.
#include "support/case_shapes.hpp"

#include "support/kernel_case.hpp"

#include <layerhub/sdk/call.hpp>

#include <algorithm>

namespace layerhub::testing {
namespace {

constexpr std::int64_t unknown = -1;

bool allows(const lh_kernel& kernel, std::uint32_t argument, DLDataType dtype) {
  for (std::uint32_t i = 0; i < kernel.n_constraints; ++i) {
    const lh_constraint& c = kernel.constraints[i];
    if (c.kind == LH_C_DTYPE_IN && c.arg == argument &&
        std::none_of(c.dtypes, c.dtypes + c.n_dtypes, [&](DLDataType d) { return sdk::same(d, dtype); })) {
      return false;
    }
  }
  return true;
}

bool is_dtype_stated(const lh_kernel& kernel, std::uint32_t argument) {
  return std::any_of(kernel.constraints, kernel.constraints + kernel.n_constraints,
                     [&](const lh_constraint& c) { return c.kind == LH_C_DTYPE_IN && c.arg == argument; });
}

// The element types of one argument for itself; float32 where nothing is stated.
std::vector<ElementType> own_types(const lh_kernel& kernel, std::uint32_t argument) {
  std::vector<ElementType> types;
  for (const DLDataType dtype : {sdk::f32, sdk::bf16, sdk::f16, sdk::f64, sdk::i32, sdk::i64, sdk::u8}) {
    const bool fits = is_dtype_stated(kernel, argument) ? allows(kernel, argument, dtype) : sdk::same(dtype, sdk::f32);
    if (fits) {
      types.push_back({dtype});
    }
  }
  std::string_view formats = sdk::view(kernel.args[argument].formats);
  while (!formats.empty()) {
    const std::size_t comma = std::min(formats.find(','), formats.size());
    if (const sdk::BlockFormat* format = sdk::find_block_format(formats.substr(0, comma))) {
      types.push_back({sdk::u8, format});
    }
    formats.remove_prefix(std::min(comma + 1, formats.size()));
  }
  return types;
}

// The argument before this one that must have the same dtype, or this one.
std::uint32_t dtype_source(const lh_kernel& kernel, std::uint32_t argument) {
  for (std::uint32_t i = 0; i < kernel.n_constraints; ++i) {
    const lh_constraint& c = kernel.constraints[i];
    if (c.kind == LH_C_SAME_DTYPE && std::max(c.arg, c.other) == argument && c.arg != c.other) {
      return std::min(c.arg, c.other);
    }
  }
  return argument;
}

void extend_types(const lh_kernel& kernel, std::vector<ElementType>& chosen,
                  std::vector<std::vector<ElementType>>& all) {
  const auto argument = static_cast<std::uint32_t>(chosen.size());
  if (argument == kernel.n_args) {
    all.push_back(chosen);
    return;
  }
  std::vector<ElementType> options{{}};
  if (is_tensor(kernel.args[argument])) {
    const std::uint32_t source = dtype_source(kernel, argument);
    if (source == argument) {
      options = own_types(kernel, argument);
    } else if (allows(kernel, argument, chosen[source].dtype)) {
      options = {chosen[source]};
    } else {
      options.clear();
    }
  }
  for (const ElementType& option : options) {
    chosen.push_back(option);
    extend_types(kernel, chosen, all);
    chosen.pop_back();
  }
}

// The dimension that a constraint means, or NULL where the shape has none such or is not known yet.
std::int64_t* dim_at(Shape& shape, std::int32_t dim) {
  const std::int64_t index = dim < 0 ? dim + static_cast<std::int64_t>(shape.size()) : dim;
  return index >= 0 && index < static_cast<std::int64_t>(shape.size()) ? &shape[static_cast<std::size_t>(index)]
                                                                       : nullptr;
}

class Solver {
 public:
  Solver(const lh_kernel& kernel, const std::vector<ElementType>& types) : kernel_(kernel), types_(types) {
    shapes_.resize(kernel.n_args);
  }

  void give(std::uint32_t argument, const Shape& shape) { shapes_[argument] = shape; }
  bool is_given(std::uint32_t argument) const { return !shapes_[argument].empty(); }

  void spread() {
    while (spread_once()) {
    }
  }

  // Fills what is left, one dimension at a time.
  void choose() {
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (!is_tensor(kernel_.args[a])) {
        continue;
      }
      if (shapes_[a].empty()) {
        shapes_[a].assign(least_rank(a), unknown);
        spread();
      }
      for (std::size_t d = shapes_[a].size(); d-- > 0;) {
        if (shapes_[a][d] == unknown) {
          shapes_[a][d] = fitting(a, d, free_dims_[next_free_++ % std::size(free_dims_)]);
          spread();
        }
      }
    }
  }

  // The smallest size >= wanted that the argument's own constraints allow.
  std::int64_t fitting(std::uint32_t argument, std::size_t d, std::int64_t wanted) const {
    std::int64_t multiple = 1;
    if (types_[argument].format != nullptr && d + 1 == shapes_[argument].size()) {
      multiple = types_[argument].format->elements;
    }
    for (std::uint32_t i = 0; i < kernel_.n_constraints; ++i) {
      const lh_constraint& c = kernel_.constraints[i];
      Shape shape = shapes_[argument];
      if (c.arg != argument || dim_at(shape, c.dim) != &shape[d]) {
        continue;
      }
      if (c.kind == LH_C_DIM_MULTIPLE) {
        multiple = std::max(multiple, c.a);
      } else if (c.kind == LH_C_DIM_RANGE) {
        wanted = std::clamp(wanted, c.a, c.b);
      }
    }
    return (wanted + multiple - 1) / multiple * multiple;
  }

  bool holds() {
    for (std::uint32_t a = 0; a < kernel_.n_args; ++a) {
      if (types_[a].format != nullptr && shapes_[a].back() % types_[a].format->elements != 0) {
        return false;
      }
    }
    return std::all_of(kernel_.constraints, kernel_.constraints + kernel_.n_constraints,
                       [&](const lh_constraint& c) { return holds(c); });
  }

  std::vector<Shape> take() { return std::move(shapes_); }

 private:
  std::size_t least_rank(std::uint32_t argument) const {
    for (std::uint32_t i = 0; i < kernel_.n_constraints; ++i) {
      const lh_constraint& c = kernel_.constraints[i];
      if (c.kind == LH_C_RANK && c.arg == argument) {
        return static_cast<std::size_t>(std::max<std::int64_t>(c.a, 1));
      }
    }
    return 2;
  }

  bool spread_once() {
    bool changed = false;
    for (std::uint32_t i = 0; i < kernel_.n_constraints; ++i) {
      const lh_constraint& c = kernel_.constraints[i];
      if (c.kind == LH_C_SAME_SHAPE || c.kind == LH_C_SAME_SHAPE_EXCEPT) {
        const bool except = c.kind == LH_C_SAME_SHAPE_EXCEPT;
        changed |= copy_shape(shapes_[c.arg], shapes_[c.other], except, c.dim);
        changed |= copy_shape(shapes_[c.other], shapes_[c.arg], except, c.dim);
      } else if (c.kind == LH_C_DIM_RATIO) {
        changed |= spread_ratio(c);
      } else if (c.kind == LH_C_RANK && c.a == c.b && shapes_[c.arg].empty()) {
        shapes_[c.arg].assign(static_cast<std::size_t>(c.a), unknown);
        changed = true;
      }
    }
    return changed;
  }

  static bool copy_shape(Shape& to, Shape& from, bool except, std::int32_t except_dim) {
    if (from.empty() || (!to.empty() && to.size() != from.size())) {
      return false;
    }
    bool changed = to.empty();
    if (changed) {
      to.assign(from.size(), unknown);
    }
    for (std::size_t d = 0; d < from.size(); ++d) {
      const bool left_out = except && dim_at(from, except_dim) == &from[d];
      if (!left_out && to[d] == unknown && from[d] != unknown) {
        to[d] = from[d];
        changed = true;
      }
    }
    return changed;
  }

  bool spread_ratio(const lh_constraint& c) {
    std::int64_t* left = dim_at(shapes_[c.arg], c.dim);
    std::int64_t* right = dim_at(shapes_[c.other], c.other_dim);
    if (left == nullptr || right == nullptr || (*left == unknown) == (*right == unknown)) {
      return false;
    }
    if (*left == unknown) {
      *left = *right * c.a / c.b;
    } else {
      *right = *left * c.b / c.a;
    }
    return true;
  }

  bool holds(const lh_constraint& c) {
    Shape& shape = shapes_[c.arg];
    Shape& other = shapes_[c.other];
    const auto ndim = static_cast<std::int64_t>(shape.size());
    const std::int64_t* dim = dim_at(shape, c.dim);
    switch (c.kind) {
      case LH_C_RANK: return c.a <= ndim && ndim <= c.b;
      case LH_C_DIM_RANGE: return dim != nullptr && c.a <= *dim && *dim <= c.b;
      case LH_C_DIM_MULTIPLE: return dim != nullptr && *dim % c.a == 0;
      case LH_C_SAME_SHAPE: return shape == other;
      case LH_C_SAME_SHAPE_EXCEPT: {
        Shape adapted = other;
        if (dim == nullptr || dim_at(adapted, c.dim) == nullptr) {
          return false;
        }
        *dim_at(adapted, c.dim) = *dim;
        return shape == adapted;
      }
      case LH_C_DIM_RATIO: {
        const std::int64_t* right = dim_at(other, c.other_dim);
        return dim != nullptr && right != nullptr && *dim * c.b == *right * c.a;
      }
      default: return true;
    }
  }

  static constexpr std::int64_t free_dims_[] = {48, 3, 33, 5};
  const lh_kernel& kernel_;
  const std::vector<ElementType>& types_;
  std::vector<Shape> shapes_;
  std::size_t next_free_ = 0;
};

}  // namespace

std::vector<std::vector<ElementType>> element_types(const lh_kernel& kernel) {
  std::vector<std::vector<ElementType>> all;
  std::vector<ElementType> chosen;
  extend_types(kernel, chosen, all);
  return all;
}

std::optional<std::vector<Shape>> solve_shapes(const lh_kernel& kernel, const std::vector<ElementType>& types,
                                               const sdk::Example& example, const Shape& seed) {
  Solver solver(kernel, types);
  bool seeded = false;
  for (std::uint32_t a = 0; a < kernel.n_args; ++a) {
    const auto given = example.shapes.find(sdk::view(kernel.args[a].name));
    if (given != example.shapes.end()) {
      solver.give(a, given->second);
    } else if (!seeded && kernel.args[a].kind == LH_ARG_INPUT && example.shapes.empty()) {
      seeded = true;
      solver.give(a, seed);
      Shape shape = seed;
      shape.back() = solver.fitting(a, shape.size() - 1, shape.back());
      solver.give(a, shape);
    }
  }
  solver.spread();
  solver.choose();
  if (!solver.holds()) {
    return std::nullopt;
  }
  return solver.take();
}

}  // namespace layerhub::testing
