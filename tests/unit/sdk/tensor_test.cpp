// SPDX-License-Identifier: Apache-2.0
#include <layerhub/sdk/tensor.hpp>

#include "support/catch.hpp"

namespace layerhub::sdk {
namespace {

TEST_CASE("data includes byte_offset, and rows follow the strides of every leading dimension") {
  float memory[128];
  std::int64_t shape[] = {2, 3, 4};
  std::int64_t strides[] = {5, 20, 1};  // the first two dimensions permuted, rows padded
  const DLTensor tensor{memory, {kDLCPU, 0}, 3, f32, shape, strides, 8};
  CHECK(data<float>(tensor) == memory + 2);
  CHECK(row_count(tensor) == 6);
  CHECK(element_count(tensor) == 24);
  CHECK(row<float>(tensor, 0) == memory + 2);
  CHECK(row<float>(tensor, 1) == memory + 2 + 20);
  CHECK(row<float>(tensor, 3) == memory + 2 + 5);
  CHECK(row<float>(tensor, 5) == memory + 2 + 5 + 2 * 20);
  CHECK_FALSE(is_dense(tensor));
}

TEST_CASE("the stride of a dimension of one element says nothing about density") {
  float memory[8];
  std::int64_t shape[] = {1, 4};
  std::int64_t strides[] = {999, 1};
  CHECK(is_dense({memory, {kDLCPU, 0}, 2, f32, shape, strides, 0}));
}

TEST_CASE("a vector is one row") {
  float memory[4];
  std::int64_t shape[] = {4};
  std::int64_t strides[] = {1};
  const DLTensor tensor{memory, {kDLCPU, 0}, 1, f32, shape, strides, 0};
  CHECK(row_count(tensor) == 1);
  CHECK(row<float>(tensor, 0) == memory);
}

}  // namespace
}  // namespace layerhub::sdk
