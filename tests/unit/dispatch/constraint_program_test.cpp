// SPDX-License-Identifier: Apache-2.0
// The full check against one that looks at every byte, and the quick check against the full one.
#include "dispatch/constraint_program.hpp"
#include "dispatch/dense_check.hpp"

#include "support/catch.hpp"
#include "support/rounds.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace layerhub;
using namespace layerhub::dispatch;

namespace {

constexpr DLDataType f32{kDLFloat, 32, 1}, bf16{kDLBfloat, 16, 1}, i64{kDLInt, 64, 1};
constexpr std::array float_types{f32, bf16};

lh_constraint constraint(std::uint32_t kind, std::uint32_t arg, std::uint32_t other = 0) {
  lh_constraint c{};
  c.kind = kind;
  c.arg = arg;
  c.other = other;
  return c;
}

// Two inputs `a` and `b`, one output `y`.
plugin::Kernel kernel_with(std::vector<lh_constraint> constraints) {
  plugin::Kernel kernel;
  kernel.implementation = "a test's";
  kernel.arguments = {{"a", LH_ARG_INPUT, false, {}}, {"b", LH_ARG_INPUT, false, {}}, {"y", LH_ARG_OUTPUT, false, {}}};
  kernel.constraints = std::move(constraints);
  return kernel;
}

lh_constraint takes_floats(std::uint32_t arg) {
  lh_constraint c = constraint(LH_C_DTYPE_IN, arg);
  c.n_dtypes = float_types.size();
  c.dtypes = float_types.data();
  return c;
}

std::vector<lh_constraint> elementwise() {
  return {takes_floats(0),
          constraint(LH_C_SAME_SHAPE, 1, 0),
          constraint(LH_C_SAME_SHAPE, 2, 0),
          constraint(LH_C_SAME_DTYPE, 1, 0),
          constraint(LH_C_SAME_DTYPE, 2, 0),
          constraint(LH_C_MAY_ALIAS, 2, 0)};
}

struct TestTensor {
  std::vector<std::int64_t> shape, strides;
  DLTensor tensor{};

  void point() {
    tensor.ndim = static_cast<std::int32_t>(shape.size());
    tensor.shape = shape.data();
    tensor.strides = strides.data();
  }
  bool is_dense() const {
    std::int64_t expected = 1;
    for (std::size_t d = shape.size(); d-- > 0; expected *= shape[d]) {
      if (shape[d] != 1 && strides[d] != expected) return false;
    }
    return true;
  }
  // Each byte that an element of it stands on.
  std::multiset<std::uintptr_t> bytes() const {
    std::multiset<std::uintptr_t> all;
    std::vector<std::int64_t> at(shape.size(), 0);
    if (std::count(shape.begin(), shape.end(), 0) != 0) return all;
    for (;;) {
      std::int64_t offset = 0;
      for (std::size_t d = 0; d < at.size(); ++d) offset += at[d] * strides[d];
      const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(tensor.data) + tensor.byte_offset +
                                   static_cast<std::uintptr_t>(offset * (tensor.dtype.bits / 8));
      for (std::uintptr_t n = 0; n < tensor.dtype.bits / 8u; ++n) all.insert(first + n);
      std::size_t d = at.size();
      while (d > 0 && ++at[d - 1] == shape[d - 1]) at[--d] = 0;
      if (d == 0) return all;
    }
  }
};

// Tensors that are alike more often than not, in one small buffer, so that they often overlap.
class RandomTensors {
 public:
  explicit RandomTensors(unsigned seed) : random_(seed) {}

  TestTensor next() {
    TestTensor t;
    t.shape =
        pick(4) != 0 ? std::vector<std::int64_t>{2, 3} : std::vector<std::int64_t>{1 + pick(2), pick(4), 1 + pick(3)};
    t.strides.resize(t.shape.size());
    std::int64_t stride = 1;
    for (std::size_t d = t.shape.size(); d-- > 0; stride *= std::max<std::int64_t>(t.shape[d], 1)) {
      t.strides[d] = stride;
      if (pick(12) == 0) stride += 1;
    }
    t.tensor.dtype = pick(8) != 0 ? f32 : pick(2) != 0 ? bf16 : i64;
    t.tensor.device = {pick(16) != 0 ? kDLCPU : kDLCUDA, 0};
    // byte_offset and data share the way, as views of hosts do.
    const std::int64_t at = pick(3) * 24 + (pick(6) == 0 ? pick(24) : 0);
    t.tensor.byte_offset = static_cast<std::uint64_t>(pick(2) == 0 ? at : 0);
    t.tensor.data = pick(40) == 0 ? nullptr : memory_.data() + at - static_cast<std::int64_t>(t.tensor.byte_offset);
    return t;
  }

  std::int64_t pick(std::int64_t below) { return static_cast<std::int64_t>(random_() % static_cast<unsigned>(below)); }

 private:
  alignas(64) std::array<unsigned char, 4096> memory_{};
  std::mt19937 random_;
};

bool is_float(const TestTensor& t) { return t.tensor.dtype.code != kDLInt; }

bool aligned(const TestTensor& t) {
  return (reinterpret_cast<std::uintptr_t>(t.tensor.data) + t.tensor.byte_offset) % (t.tensor.dtype.bits / 8u) == 0;
}

bool share_a_byte(const TestTensor& a, const TestTensor& b) {
  const auto of_a = a.bytes(), of_b = b.bytes();
  return std::any_of(of_a.begin(), of_a.end(), [&](std::uintptr_t byte) { return of_b.count(byte) != 0; });
}

template <std::size_t n>
bool holds_quickly(const DenseCheck& quick, const ConstraintProgram& program, const DLTensor* const* in,
                   const DLTensor* y) {
  const bool tensors_hold =
      quick.has_resembling() ? quick.tensors_hold<n, true>(in, y) : quick.tensors_hold<n, false>(in, y);
  return tensors_hold && (!quick.has_rest() || quick.rest_holds(program, in, y));
}

// The rules of elementwise(), said once more and slowly.
bool elementwise_holds(const TestTensor& a, const TestTensor& b, const TestTensor& y) {
  for (const TestTensor* t : {&a, &b, &y}) {
    const bool empty = std::count(t->shape.begin(), t->shape.end(), 0) != 0;
    if (!is_float(*t) || t->shape != a.shape || std::memcmp(&t->tensor.dtype, &a.tensor.dtype, 4) != 0) return false;
    if (empty) continue;
    if (!t->is_dense() || t->tensor.data == nullptr || !aligned(*t) ||
        t->tensor.device.device_type != a.tensor.device.device_type) {
      return false;
    }
  }
  const bool a_is_y = a.bytes() == y.bytes();
  return (a_is_y || !share_a_byte(a, y)) && !share_a_byte(b, y);
}

}  // namespace

TEST_CASE("the check of a call agrees with one that looks at every byte") {
  const plugin::Kernel kernel = kernel_with(elementwise());
  const auto compiled = ConstraintProgram::compile(kernel, {}, 2);
  REQUIRE(compiled);
  RandomTensors tensors(3);
  int holding = 0;
  for (int round = 0; round < layerhub::testing::rounds(200'000); ++round) {
    TestTensor a = tensors.next(), b = tensors.next(), y = tensors.next();
    a.point(), b.point(), y.point();
    const DLTensor* in[] = {&a.tensor, &b.tensor};
    DLTensor* out[] = {&y.tensor};
    const std::uint32_t refused = compiled.value().check(in, out);
    const bool expected = elementwise_holds(a, b, y);
    holding += expected ? 1 : 0;
    if ((refused == 0) != expected) {
      FAIL("round " << round << ": " << (refused == 0 ? "accepted" : compiled.value().describe(refused - 1)));
    }
  }
  CHECK(holding > 1000);
}

TEST_CASE("the quick check says yes to what hosts pass, and never where the full check says no") {
  const auto dim = [](lh_constraint c, std::int32_t d, std::int32_t other_d, std::int64_t a, std::int64_t b) {
    c.dim = d, c.other_dim = other_d, c.a = a, c.b = b;
    return c;
  };
  std::vector<std::vector<lh_constraint>> kernels{
      elementwise(),
      {},
      {constraint(LH_C_STRIDED_OK, 0), constraint(LH_C_MAY_ALIAS, 2, 1)},
      {constraint(LH_C_LAST_DIM_DENSE, 0), takes_floats(0), takes_floats(2), constraint(LH_C_SAME_DTYPE, 2, 0)},
      {constraint(LH_C_SAME_SHAPE, 2, 1), constraint(LH_C_SAME_DTYPE, 2, 1), constraint(LH_C_MAY_ALIAS, 2, 1)},
      {dim(constraint(LH_C_DIM_RATIO, 2, 0), -1, -1, 1, 1), dim(constraint(LH_C_DIM_MULTIPLE, 0), -1, 0, 3, 0)},
      {dim(constraint(LH_C_ALIGNED, 0), 0, 0, 8, 0), dim(constraint(LH_C_RANK, 1), 0, 0, 2, 2)},
      {constraint(LH_C_SAME_DTYPE, 2, 0), dim(constraint(LH_C_SAME_SHAPE_EXCEPT, 2, 0), -1, 0, 0, 0)}};
  for (auto& constraints : kernels) {
    for (const std::uint32_t argument : {0u, 1u, 2u}) {  // it has no rule for a tensor of any dtype
      const bool is_like_first = std::any_of(constraints.begin(), constraints.end(), [&](const lh_constraint& c) {
        return c.kind == LH_C_SAME_DTYPE && c.arg == argument && c.other == 0;
      });
      if (!is_like_first) constraints.push_back(takes_floats(argument));
    }
    const plugin::Kernel kernel = kernel_with(constraints);
    const auto compiled = ConstraintProgram::compile(kernel, {}, 2);
    REQUIRE(compiled);
    const ConstraintProgram& program = compiled.value();
    const DenseCheck quick(program);
    REQUIRE(quick.n_inputs() == 2);
    RandomTensors tensors(11);
    int quickly = 0, holding = 0;
    for (int round = 0; round < layerhub::testing::rounds(100'000); ++round) {
      TestTensor a = tensors.next(), b = tensors.next(), y = tensors.next();
      a.point(), b.point(), y.point();
      const DLTensor* in[] = {&a.tensor, &b.tensor};
      DLTensor* out[] = {&y.tensor};
      const bool holds = program.check(in, out) == 0;
      const bool quick_holds = holds_quickly<2>(quick, program, in, &y.tensor);
      holding += holds ? 1 : 0;
      quickly += quick_holds ? 1 : 0;
      if (quick_holds && !holds) {
        FAIL("kernel " << &constraints - kernels.data() << ", round " << round
                       << ": the quick check accepts what is refused: "
                       << program.describe(program.check(in, out) - 1));
      }
    }
    INFO("kernel " << &constraints - kernels.data() << ": " << quickly << " of " << holding);
    CHECK(quickly > 500);

    alignas(64) std::array<std::array<float, 16>, 3> memory{};
    std::array<TestTensor, 3> plain;
    for (std::size_t i = 0; i < plain.size(); ++i) {
      plain[i] = {{2, 6}, {6, 1}, {memory[i].data(), {kDLCPU, 0}, 2, f32, nullptr, nullptr, 0}};
      plain[i].point();
    }
    const DLTensor* in[] = {&plain[0].tensor, &plain[1].tensor};
    CHECK(holds_quickly<2>(quick, program, in, &plain[2].tensor));
  }
}

// What gated activations declare: y is x but for a last dimension that is half as long.
TEST_CASE("the quick check knows an output whose last dimension is a share of the input's, and the full one agrees") {
  plugin::Kernel kernel;
  kernel.arguments = {{"x", LH_ARG_INPUT, false, {}}, {"y", LH_ARG_OUTPUT, false, {}}};
  lh_constraint even = constraint(LH_C_DIM_MULTIPLE, 0), rest = constraint(LH_C_SAME_SHAPE_EXCEPT, 1, 0),
                half = constraint(LH_C_DIM_RATIO, 1, 0);
  even.dim = rest.dim = half.dim = half.other_dim = -1;
  even.a = half.b = 2;
  half.a = 1;
  SECTION("declared from the output's side") {}
  SECTION("declared from the input's side") {
    half = constraint(LH_C_DIM_RATIO, 0, 1);
    half.dim = half.other_dim = -1;
    half.a = 2, half.b = 1;
  }
  kernel.constraints = {takes_floats(0), even, rest, half, constraint(LH_C_SAME_DTYPE, 1, 0)};
  const ConstraintProgram program = ConstraintProgram::compile(kernel, {}, 1).value();
  const DenseCheck quick(program);
  REQUIRE(quick.n_inputs() == 1);
  REQUIRE(quick.has_resembling());
  alignas(64) std::array<float, 64> memory_x{}, memory_y{};
  int holding = 0;
  const auto agree = [&](TestTensor x, TestTensor y) {
    x.point(), y.point();
    const DLTensor* in[] = {&x.tensor};
    DLTensor* out[] = {&y.tensor};
    const bool holds = program.check(in, out) == 0;
    holding += holds ? 1 : 0;
    const bool is_empty = std::count(x.shape.begin(), x.shape.end(), 0) != 0;  // the full check's to say
    CHECK(holds_quickly<1>(quick, program, in, &y.tensor) == (holds && !is_empty));
  };
  const auto tensor = [](std::vector<std::int64_t> shape, float* memory, DLDataType dtype) {
    TestTensor made{std::move(shape), {}, {memory, {kDLCPU, 0}, 0, dtype, nullptr, nullptr, 0}};
    made.strides.resize(made.shape.size());
    std::int64_t stride = 1;
    for (std::size_t d = made.shape.size(); d-- > 0; stride *= made.shape[d]) made.strides[d] = stride;
    return made;
  };
  for (std::int64_t rows = 0; rows < 4; ++rows) {
    for (std::int64_t columns = 0; columns < 9; ++columns) {
      for (std::int64_t other_rows = 0; other_rows < 4; ++other_rows) {
        for (std::int64_t other_columns = 0; other_columns < 5; ++other_columns) {
          const TestTensor x = tensor({rows, columns}, memory_x.data(), f32);
          agree(x, tensor({other_rows, other_columns}, memory_y.data(), f32));
          agree(x, tensor({other_rows, other_columns}, memory_y.data(), bf16));
          agree(x, tensor({1, other_rows, other_columns}, memory_y.data(), f32));
          agree(x, tensor({other_rows, other_columns}, memory_x.data() + 1, f32));
          agree(tensor({columns}, memory_x.data(), bf16), tensor({other_columns}, memory_y.data(), bf16));
        }
      }
    }
  }
  CHECK(holding > 60);
}

TEST_CASE("the quick check leaves tensors of any dtype to the full one") {
  const plugin::Kernel kernel = kernel_with({});
  CHECK(DenseCheck(ConstraintProgram::compile(kernel, {}, 2).value()).n_inputs() == 0);
}

TEST_CASE("a constraint that fails is described by the names of the arguments") {
  const plugin::Kernel kernel = kernel_with(elementwise());
  const auto compiled = ConstraintProgram::compile(kernel, {}, 2);
  REQUIRE(compiled);
  RandomTensors tensors(5);
  std::set<std::string> said;
  for (int round = 0; round < layerhub::testing::rounds(20'000); ++round) {
    TestTensor a = tensors.next(), b = tensors.next(), y = tensors.next();
    a.point(), b.point(), y.point();
    const DLTensor* in[] = {&a.tensor, &b.tensor};
    DLTensor* out[] = {&y.tensor};
    if (const std::uint32_t refused = compiled.value().check(in, out))
      said.insert(compiled.value().describe(refused - 1));
  }
  CHECK(said.count("`a` has a dtype that the kernel does not take") == 1);
  CHECK(said.count("`b` and `a` differ in shape") == 1);
  CHECK(said.count("`y` is not dense") == 1);
  CHECK(said.count("`y` overlaps memory that the kernel reads or writes") == 1);
}
