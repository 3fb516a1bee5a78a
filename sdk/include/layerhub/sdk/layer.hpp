// SPDX-License-Identifier: Apache-2.0
// A layer as data: what it is called, what it takes, what must hold for a call, written once and by name.
//
//   struct SiluAndMul {
//     static constexpr std::string_view name = "SiluAndMul";
//     static constexpr std::array arguments{input("x"), output("y")};
//     static constexpr std::array constraints{dim_multiple("x", -1, 2), dim_ratio("y", -1, 1, "x", -1, 2)};
//     static void reference(ReferenceCall& call);         // optional; see sdk/reference.hpp
//   };
//
// A layer may also have `static constexpr std::array attributes{required_float("variance_epsilon")}`. A kernel adds
// constraints of its own, of the same form: the dtypes it has, the strides it reads. Names are looked up when the
// kernel is compiled: a misspelt one does not compile.
#pragma once

#include <layerhub/abi.h>
#include <layerhub/sdk/dtype.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace layerhub::sdk {

struct Argument {
  std::string_view name;
  std::uint32_t kind;
  std::string_view formats;
  bool is_optional = false;
};

constexpr Argument input(std::string_view name) { return {name, LH_ARG_INPUT, {}}; }
constexpr Argument output(std::string_view name) { return {name, LH_ARG_OUTPUT, {}}; }
constexpr Argument state(std::string_view name) { return {name, LH_ARG_STATE, {}}; }
constexpr Argument saved(std::string_view name) { return {name, LH_ARG_SAVED, {}}; }
constexpr Argument scalar_int(std::string_view name) { return {name, LH_ARG_SCALAR_INT, {}}; }
constexpr Argument scalar_float(std::string_view name) { return {name, LH_ARG_SCALAR_FLOAT, {}}; }
// formats: the block formats that it may have beside plain dtypes, comma separated: "gguf.q4_1,gguf.q8_0".
constexpr Argument param(std::string_view name, std::string_view formats = {}) { return {name, LH_ARG_PARAM, formats}; }
constexpr Argument optional(Argument argument) {
  argument.is_optional = true;
  return argument;
}

struct Attribute {
  std::string_view name;
  std::uint32_t kind;
  bool required = true;
  std::int64_t integer = 0;  // the fallback of an optional int or bool
  double real = 0;           // the fallback of an optional float
  std::string_view text{};   // the fallback of an optional string
};

constexpr Attribute required_int(std::string_view name) { return {name, LH_ATTR_INT}; }
constexpr Attribute required_float(std::string_view name) { return {name, LH_ATTR_FLOAT}; }
constexpr Attribute required_bool(std::string_view name) { return {name, LH_ATTR_BOOL}; }
constexpr Attribute required_string(std::string_view name) { return {name, LH_ATTR_STRING}; }
constexpr Attribute optional_int(std::string_view name, std::int64_t value) {
  return {name, LH_ATTR_INT, false, value};
}
constexpr Attribute optional_float(std::string_view name, double value) {
  return {name, LH_ATTR_FLOAT, false, 0, value};
}
constexpr Attribute optional_bool(std::string_view name, bool value) { return {name, LH_ATTR_BOOL, false, value}; }
constexpr Attribute optional_string(std::string_view name, std::string_view value) {
  return {name, LH_ATTR_STRING, false, 0, 0, value};
}

// One constraint of abi.h with argument names in place of indices.
struct Constraint {
  std::uint32_t kind;
  std::string_view argument;
  std::string_view other{};
  std::int32_t dim = 0;
  std::int32_t other_dim = 0;
  std::int64_t a = 0;
  std::int64_t b = 0;
  std::array<DLDataType, 6> dtypes{};
  std::uint32_t n_dtypes = 0;
};

template <class... Dtypes>
constexpr Constraint dtype_in(std::string_view argument, Dtypes... dtypes) {
  static_assert(sizeof...(dtypes) >= 1 && sizeof...(dtypes) <= 6, "dtype_in takes one to six dtypes");
  Constraint c{.kind = LH_C_DTYPE_IN, .argument = argument};
  c.dtypes = {dtypes...};
  c.n_dtypes = sizeof...(dtypes);
  return c;
}
constexpr Constraint same_dtype(std::string_view argument, std::string_view other) {
  return {.kind = LH_C_SAME_DTYPE, .argument = argument, .other = other};
}
constexpr Constraint rank(std::string_view argument, std::int64_t least, std::int64_t most) {
  return {.kind = LH_C_RANK, .argument = argument, .a = least, .b = most};
}
constexpr Constraint dim_range(std::string_view argument, std::int32_t dim, std::int64_t least, std::int64_t most) {
  return {.kind = LH_C_DIM_RANGE, .argument = argument, .dim = dim, .a = least, .b = most};
}
constexpr Constraint dim_multiple(std::string_view argument, std::int32_t dim, std::int64_t of) {
  return {.kind = LH_C_DIM_MULTIPLE, .argument = argument, .dim = dim, .a = of};
}
constexpr Constraint same_shape(std::string_view argument, std::string_view other) {
  return {.kind = LH_C_SAME_SHAPE, .argument = argument, .other = other};
}
constexpr Constraint same_shape_except(std::string_view argument, std::string_view other, std::int32_t dim) {
  return {.kind = LH_C_SAME_SHAPE_EXCEPT, .argument = argument, .other = other, .dim = dim};
}
// argument.shape[dim] : other.shape[other_dim] = a : b
constexpr Constraint dim_ratio(std::string_view argument, std::int32_t dim, std::int64_t a, std::string_view other,
                               std::int32_t other_dim, std::int64_t b) {
  return {
      .kind = LH_C_DIM_RATIO, .argument = argument, .other = other, .dim = dim, .other_dim = other_dim, .a = a, .b = b};
}
constexpr Constraint same_dim(std::string_view argument, std::int32_t dim, std::string_view other,
                              std::int32_t other_dim) {
  return dim_ratio(argument, dim, 1, other, other_dim, 1);
}
constexpr Constraint strided_ok(std::string_view argument) { return {.kind = LH_C_STRIDED_OK, .argument = argument}; }
// Any strides but for the last dimension, which is dense: a row is a run of memory, rows may lie anywhere.
constexpr Constraint last_dim_dense(std::string_view argument) {
  return {.kind = LH_C_LAST_DIM_DENSE, .argument = argument};
}
constexpr Constraint aligned(std::string_view argument, std::int64_t bytes) {
  return {.kind = LH_C_ALIGNED, .argument = argument, .a = bytes};
}
constexpr Constraint may_alias(std::string_view argument, std::string_view other) {
  return {.kind = LH_C_MAY_ALIAS, .argument = argument, .other = other};
}

// |got - want| <= absolute + relative * |want|, and the mean square error over the mean square of want <= max_nmse
// (0: not asked).
struct Tolerance {
  DLDataType dtype;
  double relative;
  double absolute;
  double max_nmse = 0;
};

// What a kernel that declares nothing is held to: some units in the last place of its dtype.
inline constexpr std::array default_tolerances{
    Tolerance{f32, 1e-5, 1e-6},
    Tolerance{bf16, 8e-3, 1e-3},
    Tolerance{f16, 1e-3, 1e-4},
};

}  // namespace layerhub::sdk
