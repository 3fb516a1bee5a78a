// SPDX-License-Identifier: Apache-2.0
// Layouts as they were published. A number here never changes: a struct of R1 may get further fields behind
// its last one (its size is then checked as "at least"), a struct of R2 none at all. The unit is compiled or
// it is not; what is run says so in the report.
#include <layerhub/abi.h>
#include <layerhub/abi/parallel.h>

#include "support/catch.hpp"

#include <cstddef>

namespace {

#define FIELD(type, field, offset) static_assert(offsetof(type, field) == (offset), "published")
#define FROZEN(type, size) static_assert(sizeof(type) == (size) && alignof(type) == 8, "R2: frozen")
#define GROWING(type, size) static_assert(sizeof(type) >= (size) && alignof(type) == 8, "R1: fields are only appended")

FROZEN(lh_str, 16);
FIELD(lh_str, data, 0);
FIELD(lh_str, size, 8);

GROWING(lh_error, 24);
FIELD(lh_error, struct_size, 0);
FIELD(lh_error, native_code, 4);
FIELD(lh_error, text, 8);
FIELD(lh_error, capacity, 16);
FIELD(lh_error, length, 20);

GROWING(lh_device_info, 96);
FIELD(lh_device_info, struct_size, 0);
FIELD(lh_device_info, capability, 4);
FIELD(lh_device_info, device, 8);
FIELD(lh_device_info, total_memory, 16);
FIELD(lh_device_info, free_memory, 24);
FIELD(lh_device_info, arch, 32);
FIELD(lh_device_info, features, 48);
FIELD(lh_device_info, name, 64);
FIELD(lh_device_info, driver, 80);

FROZEN(lh_arg, 40);
FIELD(lh_arg, name, 0);
FIELD(lh_arg, formats, 16);
FIELD(lh_arg, kind, 32);
FIELD(lh_arg, optional, 36);

FROZEN(lh_constraint, 48);
FIELD(lh_constraint, kind, 0);
FIELD(lh_constraint, arg, 4);
FIELD(lh_constraint, other, 8);
FIELD(lh_constraint, dim, 12);
FIELD(lh_constraint, other_dim, 16);
FIELD(lh_constraint, n_dtypes, 20);
FIELD(lh_constraint, a, 24);
FIELD(lh_constraint, b, 32);
FIELD(lh_constraint, dtypes, 40);

FROZEN(lh_tolerance, 32);
FIELD(lh_tolerance, dtype, 0);
FIELD(lh_tolerance, reserved, 4);
FIELD(lh_tolerance, relative, 8);
FIELD(lh_tolerance, absolute, 16);
FIELD(lh_tolerance, max_nmse, 24);

FROZEN(lh_attr, 40);
FIELD(lh_attr, name, 0);
FIELD(lh_attr, kind, 16);
FIELD(lh_attr, reserved, 20);
FIELD(lh_attr, value, 24);

FROZEN(lh_attr_decl, 48);
FIELD(lh_attr_decl, fallback, 0);
FIELD(lh_attr_decl, required, 40);
FIELD(lh_attr_decl, reserved, 44);

FROZEN(lh_shape, 72);
FIELD(lh_shape, dim, 0);
FIELD(lh_shape, ndim, 64);
FIELD(lh_shape, dtype, 68);

GROWING(lh_host, 32);
FIELD(lh_host, struct_size, 0);
FIELD(lh_host, reserved, 4);
FIELD(lh_host, context, 8);
FIELD(lh_host, get_extension, 16);
FIELD(lh_host, log, 24);

GROWING(lh_call, 104);
FIELD(lh_call, struct_size, 0);
FIELD(lh_call, mode, 4);
FIELD(lh_call, host, 8);
FIELD(lh_call, stream, 16);
FIELD(lh_call, device, 24);
FIELD(lh_call, in, 32);
FIELD(lh_call, out, 40);
FIELD(lh_call, scalars, 48);
FIELD(lh_call, n_in, 56);
FIELD(lh_call, n_out, 58);
FIELD(lh_call, n_scalars, 60);
FIELD(lh_call, n_saved, 62);
FIELD(lh_call, workspace, 64);
FIELD(lh_call, workspace_size, 72);
FIELD(lh_call, saved, 80);
FIELD(lh_call, grad_out, 88);
FIELD(lh_call, grad_in, 96);

GROWING(lh_create_args, 64);
FIELD(lh_create_args, struct_size, 0);
FIELD(lh_create_args, mode, 4);
FIELD(lh_create_args, host, 8);
FIELD(lh_create_args, device, 16);
FIELD(lh_create_args, stream, 24);
FIELD(lh_create_args, attrs, 32);
FIELD(lh_create_args, n_attrs, 40);
FIELD(lh_create_args, n_params, 44);
FIELD(lh_create_args, params, 48);
FIELD(lh_create_args, param_formats, 56);

GROWING(lh_kernel, 176);
FIELD(lh_kernel, struct_size, 0);
FIELD(lh_kernel, device_type, 4);
FIELD(lh_kernel, layer, 8);
FIELD(lh_kernel, implementation, 24);
FIELD(lh_kernel, signature, 40);
FIELD(lh_kernel, min_capability, 48);
FIELD(lh_kernel, max_capability, 52);
FIELD(lh_kernel, required_features, 56);
FIELD(lh_kernel, kind, 72);
FIELD(lh_kernel, traits, 76);
FIELD(lh_kernel, n_args, 80);
FIELD(lh_kernel, n_attrs, 84);
FIELD(lh_kernel, n_constraints, 88);
FIELD(lh_kernel, n_tolerances, 92);
FIELD(lh_kernel, args, 96);
FIELD(lh_kernel, attrs, 104);
FIELD(lh_kernel, constraints, 112);
FIELD(lh_kernel, tolerances, 120);
FIELD(lh_kernel, create, 128);
FIELD(lh_kernel, update_params, 136);
FIELD(lh_kernel, infer, 144);
FIELD(lh_kernel, forward, 152);
FIELD(lh_kernel, backward, 160);
FIELD(lh_kernel, destroy, 168);

GROWING(lh_plugin, 104);
FIELD(lh_plugin, struct_size, 0);
FIELD(lh_plugin, abi_minor, 4);
FIELD(lh_plugin, repo, 8);
FIELD(lh_plugin, revision, 24);
FIELD(lh_plugin, build_id, 40);
FIELD(lh_plugin, toolchain, 56);
FIELD(lh_plugin, kernels, 72);
FIELD(lh_plugin, n_kernels, 80);
FIELD(lh_plugin, flags, 84);
FIELD(lh_plugin, get_extension, 88);
FIELD(lh_plugin, shutdown, 96);

GROWING(lh_parallel_1, 24);
FIELD(lh_parallel_1, struct_size, 0);
FIELD(lh_parallel_1, reserved, 4);
FIELD(lh_parallel_1, width, 8);
FIELD(lh_parallel_1, run, 16);

FROZEN(lh_scalar, 8);

#undef FIELD
#undef FROZEN
#undef GROWING

// Values travel as numbers.
static_assert(LH_OK == 0 && LH_DECLINED == 1 && LH_INVALID == 2 && LH_OUT_OF_MEMORY == 3 && LH_UNSUPPORTED == 4 &&
              LH_INTERNAL == 5 && LH_DEVICE_LOST == 6);
static_assert(LH_MODE_INFERENCE == 1 && LH_MODE_TRAINING == 2 && LH_MODE_CAPTURE == 4 && LH_MODE_DETERMINISTIC == 8);
static_assert(LH_TRAIT_CAPTURE_SAFE == 1 && LH_TRAIT_DETERMINISTIC == 2 && LH_TRAIT_NO_HOST_SYNC == 4 &&
              LH_TRAIT_OWNS_PARAMS == 8 && LH_TRAIT_NO_WORKSPACE == 16 && LH_TRAIT_CHECKS_TENSORS == 32 && LH_PLUGIN_UNLOADABLE == 1);
static_assert(LH_KERNEL_LAYER == 1 && LH_KERNEL_FUNCTION == 2);
static_assert(LH_ARG_INPUT == 1 && LH_ARG_PARAM == 2 && LH_ARG_OUTPUT == 3 && LH_ARG_STATE == 4 && LH_ARG_SAVED == 5 &&
              LH_ARG_SCALAR_INT == 6 && LH_ARG_SCALAR_FLOAT == 7);
static_assert(LH_C_DTYPE_IN == 1 && LH_C_RANK == 2 && LH_C_DIM_RANGE == 3 && LH_C_DIM_MULTIPLE == 4 &&
              LH_C_SAME_SHAPE == 5 && LH_C_SAME_SHAPE_EXCEPT == 6 && LH_C_SAME_DTYPE == 7 && LH_C_DIM_RATIO == 8 &&
              LH_C_STRIDED_OK == 9 && LH_C_LAST_DIM_DENSE == 10 && LH_C_ALIGNED == 11 && LH_C_MAY_ALIAS == 12);
static_assert(LH_ATTR_INT == 1 && LH_ATTR_FLOAT == 2 && LH_ATTR_BOOL == 3 && LH_ATTR_STRING == 4 && LH_ATTR_INTS == 5);
static_assert(LH_ABI_MAJOR == 1 && LH_MAX_RANK == 8);

TEST_CASE("every published offset, size and number is what it was") { SUCCEED("checked by the compiler"); }

TEST_CASE("all that an inference call needs, but for the workspace, stands in one cache line") {
  CHECK(offsetof(lh_call, n_saved) + sizeof(lh_call::n_saved) == 64);
  CHECK(offsetof(lh_call, workspace) == 64);
}

}  // namespace
