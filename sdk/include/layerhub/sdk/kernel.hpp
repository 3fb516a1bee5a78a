// SPDX-License-Identifier: Apache-2.0
// LAYERHUB_KERNEL: an author's class becomes an lh_kernel, checked and registered when it is compiled.
//
//   struct SiluAndMulVector {                                     // stateless: only static functions
//     static constexpr std::array constraints{dtype_in("x", f32, bf16), last_dim_dense("x"), last_dim_dense("y")};
//     static void forward(const lh_call& call);                   // or std::int32_t, to return LH_DECLINED
//   };
//   LAYERHUB_KERNEL(SiluAndMulVector, SiluAndMul, "vector");
//
// A class with a constructor from `const CreateArgs&` is an instance per host layer: the constructor reads attributes
// and may pack weights, the destructor gives all back, forward is const. It may also have
//   std::array constraints / tolerances     beyond the layer's
//   std::uint32_t traits                    default LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC
//   infer(InferCall&)                       workspace and shapes
//   backward(const lh_call&)                its presence is the support for training
//   update_params(const CreateArgs&)
//
// How a kernel finds its way into the plugin: its address stands in the section "lh_kernels", which the entry unit
// (sdk/src/plugin_entry.cpp) reads from end to end. There is no list to edit and no constructor that runs at load: all
// of it is constant data. The order in that section differs between builds; the loader sorts.
#pragma once

#include <layerhub/sdk/call.hpp>
#include <layerhub/sdk/signature.hpp>

#include <array>
#include <concepts>
#include <type_traits>

// The file's suffix decides these two; layerhub_add_plugin defines them with the compiler's flags, so that what a
// kernel says it needs can't differ from what it was compiled for.
#ifndef LAYERHUB_TU_CAPABILITY
#define LAYERHUB_TU_CAPABILITY 1
#endif
#ifndef LAYERHUB_TU_FEATURES
#define LAYERHUB_TU_FEATURES ""
#endif

namespace layerhub::sdk::detail {

template <class Layer>
constexpr std::uint32_t argument_index(std::string_view name) {
  std::uint32_t index = 0;
  for (const Argument& argument : Layer::arguments) {
    if (argument.name == name) {
      return index;
    }
    ++index;
  }
  throw "a constraint names an argument that the layer does not have";
}

// The layer's constraints come first, then the kernel's.
template <class Kernel, class Layer>
consteval std::size_t constraint_count() {
  std::size_t count = 0;
  if constexpr (requires { Layer::constraints; }) {
    count += Layer::constraints.size();
  }
  if constexpr (requires { Kernel::constraints; }) {
    count += Kernel::constraints.size();
  }
  return count;
}

template <class Kernel, class Layer>
consteval auto all_constraints() {
  std::array<Constraint, constraint_count<Kernel, Layer>()> all{};
  std::size_t next = 0;
  if constexpr (requires { Layer::constraints; }) {
    for (const Constraint& constraint : Layer::constraints) {
      all[next++] = constraint;
    }
  }
  if constexpr (requires { Kernel::constraints; }) {
    for (const Constraint& constraint : Kernel::constraints) {
      all[next++] = constraint;
    }
  }
  return all;
}

template <class Kernel>
concept has_state = std::constructible_from<Kernel, const CreateArgs&>;

// Everything of an lh_kernel that is data, in the arrays that it points to.
template <class Kernel, class Layer>
struct Tables {
  static constexpr auto named = all_constraints<Kernel, Layer>();

  static constexpr auto arguments = [] {
    std::array<lh_arg, Layer::arguments.size()> table{};
    for (std::size_t i = 0; i < table.size(); ++i) {
      const Argument& from = Layer::arguments[i];
      table[i] = {str(from.name), str(from.formats), from.kind, from.is_optional ? 1u : 0u};
    }
    return table;
  }();

  static constexpr auto attributes = [] {
    if constexpr (requires { Layer::attributes; }) {
      std::array<lh_attr_decl, Layer::attributes.size()> table{};
      for (std::size_t i = 0; i < table.size(); ++i) {
        const Attribute& from = Layer::attributes[i];
        lh_attr& fallback = table[i].fallback;
        fallback.name = str(from.name);
        fallback.kind = from.kind;
        if (from.kind == LH_ATTR_FLOAT) {
          fallback.value.f = from.real;
        } else if (from.kind == LH_ATTR_STRING) {
          fallback.value.s = str(from.text);
        } else {
          fallback.value.i = from.integer;
        }
        table[i].required = from.required ? 1u : 0u;
      }
      return table;
    } else {
      return std::array<lh_attr_decl, 0>{};
    }
  }();

  static constexpr auto constraints = [] {
    std::array<lh_constraint, named.size()> table{};
    for (std::size_t i = 0; i < table.size(); ++i) {
      const Constraint& from = named[i];
      table[i].kind = from.kind;
      table[i].arg = argument_index<Layer>(from.argument);
      table[i].other = from.other.empty() ? table[i].arg : argument_index<Layer>(from.other);
      table[i].dim = from.dim;
      table[i].other_dim = from.other_dim;
      table[i].n_dtypes = from.n_dtypes;
      table[i].a = from.a;
      table[i].b = from.b;
      table[i].dtypes = from.n_dtypes == 0 ? nullptr : named[i].dtypes.data();
    }
    return table;
  }();

  static constexpr auto tolerances = [] {
    const auto from = [] {
      if constexpr (requires { Kernel::tolerances; }) {
        return Kernel::tolerances;
      } else {
        return default_tolerances;
      }
    }();
    std::array<lh_tolerance, from.size()> table{};
    for (std::size_t i = 0; i < table.size(); ++i) {
      table[i] = {from[i].dtype, 0, from[i].relative, from[i].absolute, from[i].max_nmse};
    }
    return table;
  }();
};

// R1: a host of an older minor writes a shorter lh_call. Used in place where it is long enough, which is always so
// between equal minors; copied into a zeroed local otherwise.
template <class Run>
std::int32_t with_whole_call(const lh_call* call, Run&& run) {
  if (call->struct_size >= sizeof(lh_call)) [[likely]] {
    return run(*call);
  }
  lh_call whole{};
  std::memcpy(&whole, call, call->struct_size);
  whole.struct_size = sizeof whole;
  return run(whole);
}

// The functions of an lh_kernel. Each is a boundary: nothing is thrown through it [R3].
template <class Kernel, class Layer>
struct Boundary {
  static const Kernel& self(const lh_instance* instance) { return *reinterpret_cast<const Kernel*>(instance); }

  static std::int32_t create(const lh_create_args* given, lh_instance** out, lh_error* error) noexcept {
    try {
      *out = nullptr;
      lh_create_args args{};
      std::memcpy(&args, given, std::min<std::size_t>(given->struct_size, sizeof args));
      *out = reinterpret_cast<lh_instance*>(new Kernel(CreateArgs(args, Tables<Kernel, Layer>::arguments)));
      return LH_OK;
    } catch (...) {
      return fail_with_current_exception(error);
    }
  }

  static std::int32_t update_params(lh_instance* instance, const lh_create_args* given, lh_error* error) noexcept {
    try {
      lh_create_args args{};
      std::memcpy(&args, given, std::min<std::size_t>(given->struct_size, sizeof args));
      reinterpret_cast<Kernel*>(instance)->update_params(CreateArgs(args, Tables<Kernel, Layer>::arguments));
      return LH_OK;
    } catch (...) {
      return fail_with_current_exception(error);
    }
  }

  static std::int32_t infer(const lh_instance* instance, const lh_shape* in, std::uint32_t n_in, lh_shape* out,
                            std::uint32_t n_out, lh_shape* saved, std::uint32_t n_saved, std::size_t* forward_workspace,
                            std::size_t* backward_workspace, lh_error* error) noexcept {
    try {
      *forward_workspace = 0;
      *backward_workspace = 0;
      InferCall call{{in, n_in}, {out, n_out}, {saved, n_saved}, *forward_workspace, *backward_workspace};
      if constexpr (requires { Kernel::infer(call); }) {
        Kernel::infer(call);
      } else {
        self(instance).infer(call);
      }
      return LH_OK;
    } catch (...) {
      return fail_with_current_exception(error);
    }
  }

  static std::int32_t forward(const lh_instance* instance, const lh_call* given, lh_error* error) noexcept {
    try {
      return with_whole_call(given, [&](const lh_call& call) {
        if constexpr (requires { Kernel::forward(call); }) {
          return status([&] { return Kernel::forward(call); });
        } else {
          return status([&] { return self(instance).forward(call); });
        }
      });
    } catch (...) {
      return fail_with_current_exception(error);
    }
  }

  static std::int32_t backward(const lh_instance* instance, const lh_call* given, lh_error* error) noexcept {
    try {
      return with_whole_call(given, [&](const lh_call& call) {
        if constexpr (requires { Kernel::backward(call); }) {
          return status([&] { return Kernel::backward(call); });
        } else {
          return status([&] { return self(instance).backward(call); });
        }
      });
    } catch (...) {
      return fail_with_current_exception(error);
    }
  }

  static void destroy(lh_instance* instance) noexcept { delete reinterpret_cast<Kernel*>(instance); }

 private:
  template <class Run>
  static std::int32_t status(Run&& run) {
    if constexpr (std::is_void_v<decltype(run())>) {
      run();
      return LH_OK;
    } else {
      return run();
    }
  }
};

template <class Kernel>
constexpr std::uint32_t traits_of() {
  if constexpr (requires { Kernel::traits; }) {
    return Kernel::traits;
  } else {
    return LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC;
  }
}

template <class Kernel, class Layer>
consteval lh_kernel describe(std::string_view implementation, std::int32_t device_type) {
  using Data = Tables<Kernel, Layer>;
  using Functions = Boundary<Kernel, Layer>;
  static_assert(
      requires(const lh_call& c) { Kernel::forward(c); } || has_state<Kernel>,
      "a kernel needs `static forward(const lh_call&)`, or a constructor from `const CreateArgs&` and a const forward");
  lh_kernel kernel{};
  kernel.struct_size = sizeof kernel;
  kernel.device_type = device_type;
  kernel.layer = str(Layer::name);
  kernel.implementation = str(implementation);
  kernel.signature = signature_of<Layer>();
  kernel.min_capability = LAYERHUB_TU_CAPABILITY;
  kernel.required_features = str(LAYERHUB_TU_FEATURES);
  kernel.kind = requires { Layer::is_function; }
  ? LH_KERNEL_FUNCTION : LH_KERNEL_LAYER;
  kernel.traits = traits_of<Kernel>();
  kernel.n_args = Data::arguments.size();
  kernel.n_attrs = Data::attributes.size();
  kernel.n_constraints = Data::constraints.size();
  kernel.n_tolerances = Data::tolerances.size();
  kernel.args = Data::arguments.data();
  kernel.attrs = Data::attributes.data();
  kernel.constraints = Data::constraints.data();
  kernel.tolerances = Data::tolerances.data();
  if constexpr (has_state<Kernel>) {
    kernel.create = &Functions::create;
    kernel.destroy = &Functions::destroy;
    if constexpr (requires(Kernel & k, const CreateArgs& a) { k.update_params(a); }) {
      kernel.update_params = &Functions::update_params;
    }
  }
  if constexpr (requires(const Kernel& k, InferCall& c) { k.infer(c); }) {
    kernel.infer = &Functions::infer;
  }
  kernel.forward = &Functions::forward;
  if constexpr (requires(const Kernel& k, const lh_call& c) { k.backward(c); }) {
    kernel.backward = &Functions::backward;
  }
  return kernel;
}

}  // namespace layerhub::sdk::detail

// KernelClass: a name without `::`. Implementation: what tells it apart from other kernels of the layer, for people.
// At namespace scope of a .cpu.cpp file (or of another suffix that LayerhubBackends.cmake knows).
#define LAYERHUB_KERNEL(KernelClass, Layer, Implementation) \
  LAYERHUB_KERNEL_ON(kDLCPU, KernelClass, Layer, Implementation)

// How the entry stays in the library though nothing there refers to it. sdk/gpu.hpp drops it from a pass that compiles
// for a device alone.
#define LAYERHUB_KERNEL_ENTRY [[gnu::section("lh_kernels"), gnu::used, maybe_unused]]

#define LAYERHUB_KERNEL_ON(DeviceType, KernelClass, Layer, Implementation)               \
  static constinit const lh_kernel KernelClass##_lh_kernel =                             \
      ::layerhub::sdk::detail::describe<KernelClass, Layer>(Implementation, DeviceType); \
  LAYERHUB_KERNEL_ENTRY static const lh_kernel* const KernelClass##_lh_entry = &KernelClass##_lh_kernel
