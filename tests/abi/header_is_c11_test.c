/* SPDX-License-Identifier: Apache-2.0 */
/* The contract from the side of a plugin in plain C: a kernel without any C++ of the SDK. It is called in
 * header_is_cpp20_test.cpp; compiling it is half of the test. */
#include <layerhub/abi.h>
#include <layerhub/abi/parallel.h>

#if defined(__STDC_VERSION__) && __STDC_VERSION__ < 201112L
#error "this unit is to be compiled as C11 or later"
#endif

#define TEXT(literal) {literal, sizeof(literal) - 1}

static int32_t negate(const lh_instance* instance, const lh_call* call, lh_error* error) {
  const DLTensor* x = call->in[0];
  const float* from = (const float*)((const char*)x->data + x->byte_offset);
  float* to = (float*)((char*)call->out[0]->data + call->out[0]->byte_offset);
  (void)instance;
  (void)error;
  for (int64_t i = 0; i < x->shape[0]; ++i) {
    to[i] = -from[i];
  }
  return LH_OK;
}

static const lh_arg args[] = {{TEXT("x"), {0, 0}, LH_ARG_INPUT, 0}, {TEXT("y"), {0, 0}, LH_ARG_OUTPUT, 0}};

static const lh_kernel kernel = {
    .struct_size = sizeof(lh_kernel),
    .device_type = kDLCPU,
    .layer = TEXT("Negate"),
    .implementation = TEXT("c11"),
    .min_capability = 1,
    .kind = LH_KERNEL_LAYER,
    .n_args = 2,
    .args = args,
    .forward = &negate,
};

const lh_kernel* kernel_written_in_c(void);
const lh_kernel* kernel_written_in_c(void) { return &kernel; }
