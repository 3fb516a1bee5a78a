// SPDX-License-Identifier: Apache-2.0
#include <layerhub/abi.h>
#include <layerhub/abi/parallel.h>
#include <layerhub/sdk/call.hpp>

#include "support/catch.hpp"

#include <type_traits>

extern "C" const lh_kernel* kernel_written_in_c(void);

namespace {

TEST_CASE("a kernel written in C11 is called by a host written in C++20") {
  const lh_kernel& kernel = *kernel_written_in_c();
  CHECK(kernel.struct_size == sizeof(lh_kernel));
  CHECK(layerhub::sdk::view(kernel.layer) == "Negate");
  CHECK(kernel.backward == nullptr);  // what a designated initializer leaves out is absent [R7]
  float values[] = {1, -2, 3}, results[3] = {};
  std::int64_t shape[] = {3}, strides[] = {1};
  DLTensor x{values, {kDLCPU, 0}, 1, {kDLFloat, 32, 1}, shape, strides, 0};
  DLTensor y = x;
  y.data = results;
  const DLTensor* in[] = {&x};
  DLTensor* out[] = {&y};
  lh_call call{};
  call.struct_size = sizeof call;
  call.in = in;
  call.out = out;
  REQUIRE(kernel.forward(nullptr, &call, nullptr) == LH_OK);
  CHECK(results[0] == -1);
  CHECK(results[2] == -3);
}

// What crosses the boundary is copied as bytes.
static_assert(std::is_trivially_copyable_v<lh_call> && std::is_standard_layout_v<lh_call>);
static_assert(std::is_trivially_copyable_v<lh_kernel> && std::is_standard_layout_v<lh_kernel>);
static_assert(std::is_trivially_copyable_v<lh_plugin> && std::is_standard_layout_v<lh_plugin>);
static_assert(std::is_trivially_copyable_v<lh_create_args> && std::is_trivially_copyable_v<lh_error>);

}  // namespace
