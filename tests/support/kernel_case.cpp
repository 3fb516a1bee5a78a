// SPDX-License-Identifier: Apache-2.0
#include "support/kernel_case.hpp"

#include "support/case_shapes.hpp"

#include <layerhub/sdk/call.hpp>

#include <algorithm>
#include <functional>
#include <numeric>

namespace layerhub::testing {
namespace {

// Widths below, at and above those of vectors and of unrolled loops; no row, one, and enough for several threads.
const std::vector<Shape> seeds{{2},        {38},      {1, 1},       {1, 2},      {1, 576},  {3, 7},
                               {5, 31},    {7, 64},   {0, 64},      {2, 3, 130}, {1, 1030}, {17, 514},
                               {67, 1152}, {3, 3, 5}, {2, 2, 2, 6}, {19, 3078}};

// How tensors lie in memory. Where an argument does not allow a layout it stays dense.
enum class Layout { dense, odd_start, rows_padded, rows_permuted, rows_shared, strided, in_place };

constexpr std::pair<Layout, const char*> layouts[] = {
    {Layout::dense, "dense"},
    {Layout::odd_start, "starting at an odd element"},
    {Layout::rows_padded, "rows padded"},
    {Layout::rows_permuted, "rows permuted"},
    {Layout::rows_shared, "rows sharing memory"},
    {Layout::strided, "strided"},
    {Layout::in_place, "in place"},
};

const lh_constraint* find_constraint(const lh_kernel& kernel, std::uint32_t argument, std::uint32_t kind) {
  for (std::uint32_t i = 0; i < kernel.n_constraints; ++i) {
    if (kernel.constraints[i].kind == kind && kernel.constraints[i].arg == argument) {
      return &kernel.constraints[i];
    }
  }
  return nullptr;
}

bool has(const lh_kernel& kernel, std::uint32_t argument, std::uint32_t kind) {
  return find_constraint(kernel, argument, kind) != nullptr;
}

std::int64_t element_bytes(DLDataType dtype) { return dtype.bits / 8; }

// The bytes that the data, and so each padded row, must be a multiple of.
std::int64_t alignment(const lh_kernel& kernel, std::uint32_t argument, DLDataType dtype) {
  const lh_constraint* aligned = find_constraint(kernel, argument, LH_C_ALIGNED);
  return aligned == nullptr ? element_bytes(dtype) : std::max(aligned->a, element_bytes(dtype));
}

// Strides of the dimensions laid out in `order` from the innermost out; the innermost has `step`, rows end
// with `padding`.
void lay_out(TensorPlan& plan, const std::vector<std::size_t>& order, std::int64_t step, std::int64_t padding) {
  plan.strides.assign(plan.stored_shape.size(), 0);
  std::int64_t stride = step;
  for (std::size_t i = 0; i < order.size(); ++i) {
    plan.strides[order[i]] = stride;
    stride *= std::max<std::int64_t>(plan.stored_shape[order[i]], 1);
    stride += i == 0 ? padding : 0;
  }
}

void place(const lh_kernel& kernel, std::uint32_t argument, Layout layout, TensorPlan& plan) {
  const bool any_rows = has(kernel, argument, LH_C_LAST_DIM_DENSE) || has(kernel, argument, LH_C_STRIDED_OK);
  const bool any_strides = has(kernel, argument, LH_C_STRIDED_OK);
  const bool is_written = kernel.args[argument].kind != LH_ARG_INPUT && kernel.args[argument].kind != LH_ARG_PARAM;
  const std::int64_t unit = alignment(kernel, argument, plan.dtype);
  const std::int64_t unit_elements = unit / element_bytes(plan.dtype);
  std::vector<std::size_t> order(plan.stored_shape.size());  // from the innermost dimension out
  std::iota(order.rbegin(), order.rend(), std::size_t{0});
  std::int64_t step = 1;
  std::int64_t padding = 0;
  if (layout == Layout::odd_start || layout == Layout::rows_padded) {
    plan.byte_offset = static_cast<std::uint64_t>(unit * 3);
  }
  if (any_rows && (layout == Layout::rows_padded || layout == Layout::rows_permuted)) {
    padding = 5 * unit_elements + (unit_elements - plan.stored_shape.back() % unit_elements) % unit_elements;
  }
  if (any_rows && layout == Layout::rows_permuted) {
    std::reverse(order.begin() + 1, order.end());
  }
  if (any_strides && layout == Layout::strided) {
    step = 3;
  }
  lay_out(plan, order, step, padding);
  if (any_rows && !is_written && layout == Layout::rows_shared) {
    std::fill(plan.strides.begin(), plan.strides.end() - 1, 0);
  }
}

// Whether the layout differs from the dense one for any argument of this kernel.
bool is_allowed(const lh_kernel& kernel, Layout layout) {
  const auto some_have = [&](std::uint32_t kind) {
    return std::any_of(kernel.constraints, kernel.constraints + kernel.n_constraints,
                       [&](const lh_constraint& c) { return c.kind == kind; });
  };
  switch (layout) {
    case Layout::dense:
    case Layout::odd_start: return true;
    case Layout::in_place: return some_have(LH_C_MAY_ALIAS);
    case Layout::strided: return some_have(LH_C_STRIDED_OK);
    default: return some_have(LH_C_STRIDED_OK) || some_have(LH_C_LAST_DIM_DENSE);
  }
}

void alias_outputs(const lh_kernel& kernel, std::vector<TensorPlan>& plans) {
  for (std::uint32_t i = 0; i < kernel.n_constraints; ++i) {
    const lh_constraint& c = kernel.constraints[i];
    if (c.kind == LH_C_MAY_ALIAS && plans[c.arg].shape == plans[c.other].shape &&
        sdk::same(plans[c.arg].dtype, plans[c.other].dtype) && plans[c.other].alias_of < 0) {
      plans[c.arg].strides = plans[c.other].strides;
      plans[c.arg].byte_offset = plans[c.other].byte_offset;
      plans[c.arg].alias_of = static_cast<int>(c.other);
    }
  }
}

std::vector<TensorPlan> plan_tensors(const lh_kernel& kernel, const std::vector<ElementType>& types,
                                     const std::vector<Shape>& shapes, Layout layout) {
  std::vector<TensorPlan> plans(kernel.n_args);
  for (std::uint32_t a = 0; a < kernel.n_args; ++a) {
    if (!is_tensor(kernel.args[a])) {
      continue;
    }
    TensorPlan& plan = plans[a];
    plan.present = true;
    plan.shape = shapes[a];
    plan.dtype = types[a].dtype;
    plan.format = types[a].format;
    plan.stored_shape = plan.shape;
    if (plan.format != nullptr) {
      plan.stored_shape.back() = plan.shape.back() / plan.format->elements * plan.format->bytes;
    }
    place(kernel, a, layout, plan);
  }
  if (layout == Layout::in_place) {
    alias_outputs(kernel, plans);
  }
  return plans;
}

std::string plan_text(const TensorPlan& plan) {
  std::string text = plan.format != nullptr ? std::string(plan.format->name) : text_of(plan.dtype);
  std::string dims;
  for (const std::int64_t dim : plan.shape) {
    dims += (dims.empty() ? "" : ", ") + std::to_string(dim);
  }
  return text + " [" + dims + "]";
}

void describe(const lh_kernel& kernel, const char* layout, KernelCase& made) {
  for (std::uint32_t a = 0; a < kernel.n_args; ++a) {
    const std::string name(sdk::view(kernel.args[a].name));
    if (made.tensors[a].present && kernel.args[a].kind != LH_ARG_OUTPUT) {
      made.text += name + " " + plan_text(made.tensors[a]) + ", ";
    } else if (is_tensor(kernel.args[a]) && !made.tensors[a].present) {
      made.text += "no " + name + ", ";
    }
  }
  for (const auto& [name, value] : made.numbers) {
    made.text += name + "=" + std::to_string(value) + ", ";
  }
  made.text += "deviation " + std::to_string(static_cast<int>(made.deviation)) +
               (made.outliers > 0 ? " with outliers, " : ", ") + (made.has_nan ? "a NaN in each input, " : "") + layout;
}

// The scalars and attributes of the example; fallbacks for other attributes, 0 and 1 for other scalars.
void fill_numbers(const lh_kernel& kernel, const sdk::Example& example, KernelCase& made) {
  for (std::uint32_t a = 0; a < kernel.n_args; ++a) {
    if (kernel.args[a].kind == LH_ARG_SCALAR_INT || kernel.args[a].kind == LH_ARG_SCALAR_FLOAT) {
      made.numbers[std::string(sdk::view(kernel.args[a].name))] = kernel.args[a].kind == LH_ARG_SCALAR_INT ? 0 : 1;
    }
  }
  for (std::uint32_t i = 0; i < kernel.n_attrs; ++i) {
    const lh_attr& fallback = kernel.attrs[i].fallback;
    const std::string name(sdk::view(fallback.name));
    if (fallback.kind == LH_ATTR_STRING) {
      made.texts[name] = sdk::view(fallback.value.s);
    } else {
      made.numbers[name] = fallback.kind == LH_ATTR_FLOAT ? fallback.value.f : static_cast<double>(fallback.value.i);
    }
  }
  for (const auto& [name, value] : example.numbers) {
    made.numbers[name] = value;
  }
  for (const auto& [name, value] : example.texts) {
    made.texts[name] = value;
  }
}

// The sets of optional arguments to leave out: each alone, all.
std::vector<std::vector<std::uint32_t>> absences(const lh_kernel& kernel) {
  std::vector<std::uint32_t> optional;
  for (std::uint32_t a = 0; a < kernel.n_args; ++a) {
    if (kernel.args[a].optional != 0 && is_tensor(kernel.args[a])) {
      optional.push_back(a);
    }
  }
  std::vector<std::vector<std::uint32_t>> sets;
  for (const std::uint32_t argument : optional) {
    sets.push_back({argument});
  }
  if (optional.size() > 1) {
    sets.push_back(optional);
  }
  return sets;
}

bool is_large(const std::vector<Shape>& shapes) {
  return std::any_of(shapes.begin(), shapes.end(), [](const Shape& shape) {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()) > 20000;
  });
}

void add_cases(const lh_kernel& kernel, const std::vector<ElementType>& types, const sdk::Example& example,
               const Shape& seed, std::vector<KernelCase>& cases) {
  const auto shapes = solve_shapes(kernel, types, example, seed);
  if (!shapes) {
    return;
  }
  for (const auto& [layout, layout_text] : layouts) {
    if (!is_allowed(kernel, layout)) {
      continue;
    }
    if (layout != Layout::dense && layout != Layout::in_place && is_large(*shapes)) {
      continue;  // many rows are for the threads; what strides do to a row, few rows show
    }
    const auto add = [&, layout = layout, text = layout_text](const std::vector<std::uint32_t>& absent, bool has_nan) {
      KernelCase made;
      made.deviation = example.deviation;
      made.outliers = example.outliers;
      made.has_nan = has_nan;
      made.tensors = plan_tensors(kernel, types, *shapes, layout);
      for (const std::uint32_t argument : absent) {
        made.tensors[argument] = {};
      }
      fill_numbers(kernel, example, made);
      describe(kernel, text, made);
      cases.push_back(std::move(made));
    };
    add({}, false);
    if (layout == Layout::dense) {
      for (const std::vector<std::uint32_t>& absent : absences(kernel)) {
        add(absent, false);
      }
      if (!is_large(*shapes)) {
        add({}, true);
      }
    }
  }
}

}  // namespace

bool is_tensor(const lh_arg& argument) {
  return argument.kind != LH_ARG_SCALAR_INT && argument.kind != LH_ARG_SCALAR_FLOAT && argument.kind != LH_ARG_SAVED;
}

std::string text_of(DLDataType dtype) {
  const char* base = dtype.code == kDLFloat ? "f" : dtype.code == kDLBfloat ? "bf" : dtype.code == kDLInt ? "i" : "u";
  return base + std::to_string(dtype.bits);
}

std::vector<KernelCase> cases_for(const lh_kernel& kernel, const KnownLayer& layer) {
  std::vector<KernelCase> cases;
  for (const std::vector<ElementType>& types : element_types(kernel)) {
    for (const sdk::Example& example : layer.examples()) {
      if (!example.shapes.empty()) {
        add_cases(kernel, types, example, {}, cases);
        continue;
      }
      for (const Shape& seed : seeds) {
        add_cases(kernel, types, example, seed, cases);
      }
    }
  }
  return cases;
}

}  // namespace layerhub::testing
