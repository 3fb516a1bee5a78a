// SPDX-License-Identifier: Apache-2.0
// What LAYERHUB_KERNEL makes of a class: the description, and the functions behind which no exception passes.
#include <layerhub/sdk/kernel.hpp>

#include "support/catch.hpp"

#include <vector>

namespace layerhub::sdk {
namespace {

struct Scaled {
  static constexpr std::string_view name = "Scaled";
  static constexpr std::array arguments{input("x"), param("weight", "gguf.q8_0"), optional(param("bias")), output("y")};
  static constexpr std::array attributes{required_float("factor"), optional_bool("flipped", true)};
  static constexpr std::array constraints{same_shape("y", "x"), dim_ratio("weight", -1, 1, "x", -1, 2)};
};

struct Stateless {
  static constexpr std::array constraints{dtype_in("x", f32, bf16), last_dim_dense("x")};
  static void forward(const lh_call&) {}
};

// Throws what the factor says; remembers what it was made of.
class Stateful {
 public:
  explicit Stateful(const CreateArgs& args) : factor(args.real("factor")), bias(args.param("bias")) {
    if (factor == -1) throw Failure(LH_DECLINED, "not for these params");
    if (factor == -2) throw std::bad_alloc();
    if (factor == -3) args.integer("no such attribute");
    ++alive;
  }
  ~Stateful() { --alive; }
  Stateful(const Stateful&) = delete;
  Stateful& operator=(const Stateful&) = delete;

  static void infer(InferCall& call) { call.forward_workspace = static_cast<std::size_t>(call.in[0].dim[0]); }
  void update_params(const CreateArgs& args) { factor = args.real("factor"); }
  std::int32_t forward(const lh_call& call) const {
    if (factor == 7) throw 7;
    if (factor == 8) throw std::runtime_error("eight");
    return call.workspace_size == 99 ? LH_INVALID : LH_DECLINED;
  }
  void backward(const lh_call&) const {}

  static inline int alive = 0;
  double factor;
  const DLTensor* bias;
};

constexpr lh_kernel stateless = detail::describe<Stateless, Scaled>("plain", kDLCPU);
constexpr lh_kernel stateful = detail::describe<Stateful, Scaled>("whole", kDLCPU);

// The arguments of create() for a factor, and the buffer for its error.
struct Creation {
  explicit Creation(double factor) {
    attrs[0] = stateful.attrs[0].fallback;
    attrs[0].value.f = factor;
    attrs[1] = stateful.attrs[1].fallback;
    args.struct_size = sizeof args;
    args.attrs = attrs;
    args.n_attrs = 2;
    args.params = params;
    args.n_params = 2;
    args.param_formats = formats;
  }
  std::int32_t create() { return stateful.create(&args, &instance, &error); }
  std::string_view message() const { return {text, error.length}; }

  DLTensor weight{}, bias{};
  const DLTensor* params[2] = {&weight, &bias};
  lh_str formats[2] = {str("gguf.q8_0"), {}};
  lh_attr attrs[2];
  lh_create_args args{};
  lh_instance* instance = nullptr;
  char text[64] = {};
  lh_error error{sizeof(lh_error), 0, text, sizeof text, 0};
};

TEST_CASE(
    "arguments, attributes and constraints are described in the declared order, the layer's before the kernel's") {
  REQUIRE(stateless.n_args == 4);
  CHECK(view(stateless.args[1].name) == "weight");
  CHECK(view(stateless.args[1].formats) == "gguf.q8_0");
  CHECK(stateless.args[2].kind == LH_ARG_PARAM);
  CHECK(stateless.args[2].optional == 1);
  REQUIRE(stateless.n_attrs == 2);
  CHECK(stateless.attrs[0].required == 1);
  CHECK(stateless.attrs[1].fallback.value.i == 1);
  REQUIRE(stateless.n_constraints == 4);
  CHECK(stateless.constraints[0].kind == LH_C_SAME_SHAPE);
  CHECK(stateless.constraints[0].arg == 3);
  CHECK(stateless.constraints[0].other == 0);
  CHECK(stateless.constraints[1].a == 1);
  CHECK(stateless.constraints[1].b == 2);
  REQUIRE(stateless.constraints[2].n_dtypes == 2);
  CHECK(same(stateless.constraints[2].dtypes[1], bf16));
  CHECK(stateless.constraints[3].kind == LH_C_LAST_DIM_DENSE);
}

TEST_CASE("a stateless kernel has neither create nor destroy, and training is what backward says") {
  CHECK(stateless.create == nullptr);
  CHECK(stateless.destroy == nullptr);
  CHECK(stateless.infer == nullptr);
  CHECK(stateless.backward == nullptr);
  CHECK(stateful.create != nullptr);
  CHECK(stateful.infer != nullptr);
  CHECK(stateful.backward != nullptr);
  CHECK(stateful.update_params != nullptr);
}

TEST_CASE("a kernel that declares no tolerance is held to the default one") {
  REQUIRE(stateless.n_tolerances == default_tolerances.size());
  CHECK(stateless.tolerances[0].relative == default_tolerances[0].relative);
}

TEST_CASE("create hands over attributes and params by name, destroy gives the instance back") {
  Creation creation(2.5);
  REQUIRE(creation.create() == LH_OK);
  CHECK(Stateful::alive == 1);
  CHECK(reinterpret_cast<Stateful*>(creation.instance)->factor == 2.5);
  CHECK(reinterpret_cast<Stateful*>(creation.instance)->bias == &creation.bias);
  creation.attrs[0].value.f = 3;
  CHECK(stateful.update_params(creation.instance, &creation.args, &creation.error) == LH_OK);
  CHECK(reinterpret_cast<Stateful*>(creation.instance)->factor == 3);
  stateful.destroy(creation.instance);
  CHECK(Stateful::alive == 0);
}

TEST_CASE("what a constructor throws is a status with its text, and no instance stays behind [R3]") {
  Creation declined(-1), out_of_memory(-2), undeclared(-3);
  CHECK(declined.create() == LH_DECLINED);
  CHECK(declined.message() == "not for these params");
  CHECK(out_of_memory.create() == LH_OUT_OF_MEMORY);
  CHECK(undeclared.create() == LH_INTERNAL);
  CHECK(undeclared.message().find("no such attribute") != std::string_view::npos);
  CHECK(declined.instance == nullptr);
  CHECK(Stateful::alive == 0);
}

TEST_CASE("what forward throws never leaves it, whatever its type [R3]") {
  lh_call call{};
  call.struct_size = sizeof call;
  for (const double factor : {7.0, 8.0}) {
    Creation creation(factor);
    REQUIRE(creation.create() == LH_OK);
    CHECK(stateful.forward(creation.instance, &call, &creation.error) == LH_INTERNAL);
    CHECK(creation.message() == (factor == 8 ? "eight" : "an exception that is no std::exception"));
    stateful.destroy(creation.instance);
  }
}

TEST_CASE("forward returns its class's status, or LH_OK where it returns nothing") {
  Creation creation(1);
  REQUIRE(creation.create() == LH_OK);
  lh_call call{};
  call.struct_size = sizeof call;
  CHECK(stateful.forward(creation.instance, &call, &creation.error) == LH_DECLINED);
  CHECK(stateful.backward(creation.instance, &call, &creation.error) == LH_OK);
  CHECK(stateless.forward(nullptr, &call, &creation.error) == LH_OK);
  stateful.destroy(creation.instance);
}

TEST_CASE("infer starts from no workspace and reports what its class asks for") {
  lh_shape in{{5}, 1, f32}, out{};
  std::size_t forward = 77, backward = 77;
  CHECK(stateful.infer(nullptr, &in, 1, &out, 1, nullptr, 0, &forward, &backward, nullptr) == LH_OK);
  CHECK(forward == 5);
  CHECK(backward == 0);
}

}  // namespace
}  // namespace layerhub::sdk
