// SPDX-License-Identifier: Apache-2.0
// One plugin, many faults: fakes.cmake compiles this file once for each row. The layer is Scale: y = factor * x.
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>

#include <cstddef>
#include <cstring>
#include <stdexcept>

#ifndef FAKE_FACTOR
#define FAKE_FACTOR 2
#endif

namespace {

using namespace layerhub::sdk;

void scale(const lh_call& call, float factor) {
  const DLTensor& x = *call.in[0];
  const DLTensor& y = *call.out[0];
  for (std::int64_t i = 0; i < element_count(x); ++i) {
    data<float>(y)[i] = factor * data<float>(x)[i];
  }
}

#if defined(FAKE_ORDERED)
struct Ordered {  // output = x + position * state[0] + factor + offset[0]; state[0] += 1
  static constexpr std::string_view name = "Ordered";
  static constexpr std::array arguments{state("memory"),        input("x"),
                                        scalar_int("position"), output("y"),
                                        scalar_float("factor"), optional(input("offset"))};
  static constexpr std::array constraints{dtype_in("x", f32), same_shape("y", "x")};
};
struct OrderedKernel {
  static void forward(const lh_call& call) {
    float* memory = data<float>(*call.out[1]);
    const float offset = call.in[1] == nullptr ? 0 : data<float>(*call.in[1])[0];
    for (std::int64_t i = 0; i < element_count(*call.in[0]); ++i) {
      data<float>(*call.out[0])[i] = data<float>(*call.in[0])[i] + static_cast<float>(call.scalars[0].i) * memory[0] +
                                     static_cast<float>(call.scalars[1].f) + offset;
    }
    memory[0] += 1;
  }
};
LAYERHUB_KERNEL(OrderedKernel, Ordered, "fake");

#elif defined(FAKE_NEEDS_WEIGHT)
struct Weighted {  // y = x * weight + bias, per column
  static constexpr std::string_view name = "Scale";
  static constexpr std::array arguments{input("x"), param("weight"), output("y")};
  static constexpr std::array attributes{required_float("bias"), optional_int("times", 1)};
  static constexpr std::array constraints{dtype_in("x", f32), dtype_in("weight", f32), same_shape("y", "x"),
                                          rank("weight", 1, 1), same_dim("x", -1, "weight", 0)};
};
struct WeightedKernel {
  explicit WeightedKernel(const CreateArgs& args)
      : bias(static_cast<float>(args.real("bias"))), times(static_cast<float>(args.integer("times"))) {}
  void forward(const lh_call& call) const {
    const DLTensor& x = *call.in[0];
    const float* weight = data<float>(*call.in[1]);
    for (std::int64_t i = 0; i < element_count(x); ++i) {
      data<float>(*call.out[0])[i] = times * data<float>(x)[i] * weight[i % last_dim(x)] + bias;
    }
  }
  float bias, times;
};
LAYERHUB_KERNEL(WeightedKernel, Weighted, "fake");

#else
struct Scale {
  static constexpr std::string_view name = "Scale";
  static constexpr std::array arguments{input("x"), output("y")};
#if defined(FAKE_NARROW)
  static constexpr std::array constraints{dtype_in("x", f32),      rank("x", 2, 3),      dim_multiple("x", -1, 4),
                                          dim_range("x", 0, 1, 8), same_shape("y", "x"), last_dim_dense("x"),
                                          aligned("y", 16),        may_alias("y", "x")};
#else
  static constexpr std::array constraints{dtype_in("x", f32), dtype_in("y", f32), same_shape("y", "x")};
#endif
};

#if defined(FAKE_DECLINES)
struct ScaleKernel {
  static std::int32_t forward(const lh_call&) { return LH_DECLINED; }
};
#elif defined(FAKE_THROWS)
struct ScaleKernel {
  static void forward(const lh_call&) { throw std::runtime_error("the fake's own words"); }
};
#elif defined(FAKE_THROWS_INT)
struct ScaleKernel {
  static void forward(const lh_call&) { throw 42; }
};
#elif defined(FAKE_COUNTS)
inline int calls_of_this_revision = 0;  // what a second revision would share without -fno-gnu-unique
struct ScaleKernel {
  static void forward(const lh_call& call) {
    static int step = FAKE_COUNTS;
    calls_of_this_revision += step;
    data<float>(*call.out[0])[0] = static_cast<float>(calls_of_this_revision);
  }
};
#elif defined(FAKE_INSTANCE) || defined(FAKE_CREATE_FAILS) || defined(FAKE_CREATE_DECLINES)
struct ScaleKernel {
  explicit ScaleKernel(const CreateArgs&) {
#if defined(FAKE_CREATE_FAILS)
    throw Failure(LH_OUT_OF_MEMORY, "no room for the fake");
#elif defined(FAKE_CREATE_DECLINES)
    throw Failure(LH_DECLINED, "not these weights");
#endif
  }
  ~ScaleKernel() { *const_cast<volatile float*>(&factor) = -1000; }
  void forward(const lh_call& call) const { scale(call, *const_cast<const volatile float*>(&factor)); }
  float factor = FAKE_FACTOR;
};
#elif defined(FAKE_WORKSPACE)
struct ScaleKernel {
  static void infer(InferCall& call) {
    call.forward_workspace = static_cast<std::size_t>(call.in[0].dim[0]) * 1024;
    call.out[0] = call.in[0];
  }
  static void forward(const lh_call& call) {
    const auto needed = static_cast<std::size_t>(call.in[0]->shape[0]) * 1024;
    if (call.workspace_size < needed || reinterpret_cast<std::uintptr_t>(call.workspace) % 64 != 0) {
      throw Failure(LH_INTERNAL, "the workspace is too small or not aligned");
    }
    std::memset(call.workspace, 0xff, call.workspace_size);
    scale(call, FAKE_FACTOR);
  }
};
#elif defined(FAKE_UNIQUE)
template <class T>
struct Shared {
  static inline int count = 0;  // STB_GNU_UNIQUE once it is exported
};
}  // namespace
template <class T>
struct [[gnu::visibility("default")]] Exported{static int & count(){static int value = 0;
return value;
}
}
;
template struct Exported<int>;
namespace {
struct ScaleKernel {
  static void forward(const lh_call& call) { scale(call, static_cast<float>(++Exported<int>::count())); }
};
#else
struct ScaleKernel {
  static void forward(const lh_call& call) { scale(call, FAKE_FACTOR); }
};
#endif
LAYERHUB_KERNEL(ScaleKernel, Scale, "fake");

#if defined(FAKE_FUNCTION)
struct AddOne {
  static constexpr std::string_view name = "add_one";
  static constexpr bool is_function = true;
  static constexpr std::array arguments{input("x"), output("y")};
  static constexpr std::array constraints{dtype_in("x", f32), same_shape("y", "x")};
};
struct AddOneKernel {
  static void forward(const lh_call& call) {
    for (std::int64_t i = 0; i < element_count(*call.in[0]); ++i) {
      data<float>(*call.out[0])[i] = data<float>(*call.in[0])[i] + 1;
    }
  }
};
LAYERHUB_KERNEL(AddOneKernel, AddOne, "fake");
#endif
#endif

}  // namespace

// ---- Entries of another kind than sdk/src/plugin_entry.cpp
// -----------------------------------------------------------

#if defined(FAKE_NO_QUERY)
extern "C" [[gnu::visibility("default")]] int something_else() { return ScaleKernel_lh_entry != nullptr; }
#endif

#if defined(FAKE_OTHER_MAJOR) || defined(FAKE_TOO_NEW) || defined(FAKE_NEWER_MINOR) || defined(FAKE_OLDER_MINOR) || \
    defined(FAKE_LIES) || defined(FAKE_BROKEN_TABLE)
namespace {

// What a later minor would hand out: the same structs, grown at the end.
struct LaterKernel {
  lh_kernel known;
  std::uint64_t unknown[4];
};
struct LaterPlugin {
  lh_plugin known;
  std::uint64_t unknown[4];
};

const lh_plugin* make_plugin() {
  static LaterKernel kernel{*ScaleKernel_lh_entry, {~0ull, ~0ull, ~0ull, ~0ull}};
  static const lh_kernel* kernels[] = {&kernel.known};
  static LaterPlugin plugin{
      {sizeof(lh_plugin), LH_ABI_MINOR, str(LAYERHUB_PLUGIN_REPO), str(LAYERHUB_PLUGIN_REVISION),
       str(LAYERHUB_PLUGIN_BUILD_ID), str("a test"), kernels, 1, LH_PLUGIN_UNLOADABLE, nullptr, nullptr},
      {~0ull, ~0ull, ~0ull, ~0ull}};
#if defined(FAKE_NEWER_MINOR)
  kernel.known.struct_size = sizeof kernel;
  plugin.known.struct_size = sizeof plugin;
  plugin.known.abi_minor = LH_ABI_MINOR + 7;
#elif defined(FAKE_OLDER_MINOR)
  // Ends before get_extension and shutdown; what lies behind is not the struct's and must not be read.
  plugin.known.struct_size = offsetof(lh_plugin, get_extension);
  plugin.known.shutdown = reinterpret_cast<std::int32_t (*)(lh_error*)>(std::uintptr_t{8});
  kernel.known.struct_size = offsetof(lh_kernel, backward);
  kernel.known.backward = reinterpret_cast<decltype(kernel.known.backward)>(std::uintptr_t{8});
#elif defined(FAKE_BROKEN_TABLE)
  static lh_constraint wrong = {};
  wrong.kind = LH_C_RANK;
  wrong.arg = 77;
  kernel.known.constraints = &wrong;
  kernel.known.n_constraints = 1;
#endif
  return &plugin.known;
}

}  // namespace

#if defined(FAKE_OTHER_MAJOR)
#define FAKE_QUERY lh_plugin_query_v2
#else
#define FAKE_QUERY lh_plugin_query_v1
#endif
extern "C" [[gnu::visibility("default")]] std::int32_t FAKE_QUERY(std::uint32_t, std::uint32_t* minor,
                                                                  const lh_plugin** out, lh_error* error) {
#if defined(FAKE_TOO_NEW)
  (void)minor, (void)out;
  return layerhub::sdk::fail(error, LH_UNSUPPORTED, "this plugin needs a host of minor 9");
#else
  (void)error;
#if defined(FAKE_LIES)
  *minor = *minor + 1;
#endif
  *out = make_plugin();
  return LH_OK;
#endif
}
#endif
