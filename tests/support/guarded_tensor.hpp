// SPDX-License-Identifier: Apache-2.0
// A DLTensor on memory that notices: guard words around it, a known pattern in every byte that is no element.
//
// Bytes that are no element of an input are 0xff, which reads as NaN in every float dtype: a kernel that
// reads beyond a row gives NaN. Those of a written tensor hold another pattern and are compared afterwards.
#pragma once

#include "support/kernel_case.hpp"
#include "support/test_device.hpp"

#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace layerhub::testing {

class GuardedTensor {
 public:
  GuardedTensor(const TensorPlan& plan, bool is_written);
  // The same memory and layout as `other`, which must outlive it.
  GuardedTensor(const TensorPlan& plan, GuardedTensor& other);

  GuardedTensor(const GuardedTensor&) = delete;
  GuardedTensor& operator=(const GuardedTensor&) = delete;

  DLTensor* tensor() { return &tensor_; }

  // From here on the tensor is the device's, and what all other functions see is a copy on the host, guards and all.
  void place_on(const TestDevice& device);
  // Bring the device's memory up to date with the copy, and the copy with the device's memory. Nothing on the cpu.
  void upload() const;
  void download();

  // Normal numbers of this deviation; outliers: the share of them that are made 16 times as large.
  void fill(std::mt19937_64& random, double deviation, double outliers = 0);
  // Makes one element NaN, of a tensor with a float dtype. NaNs have many bit patterns, and it is any of them.
  // in_first_row: of the last dimension's first row, else anywhere.
  void put_nan(std::mt19937_64& random, bool in_first_row);
  // Sets every element to the pattern that reads as NaN, so that one which the kernel forgets is seen.
  void spoil();
  // The logical values, exactly: blocks are dequantized.
  std::vector<double> values() const;

  // Everything as it is now, guards included, to be compared with and gone back to.
  void remember() { remembered_ = *memory_; }
  void restore() { *memory_ = remembered_; }
  // "" or what was written that must not be: any byte of a tensor that is only read, any but an element's of another.
  std::string complaint() const;

  // The bytes of all elements, in order.
  std::vector<std::byte> element_bytes() const;

 private:
  void bind(const TensorPlan& plan);
  template <class Visit>
  void for_each_element(Visit&& visit) const;  // visit(byte offset into memory_)
  std::int64_t extent() const;                 // bytes from the first element to the end of the last

  // Large enough that a vector stored at the end of a row stays inside.
  static constexpr std::size_t guard = 512;

  TensorPlan plan_;
  bool is_written_;
  std::shared_ptr<std::vector<std::byte>> memory_;  // guard, data, guard
  std::size_t placed_from_ = 0;                     // where in memory_ the device's memory begins
  const TestDevice* device_ = nullptr;
  std::shared_ptr<void> on_device_;
  GuardedTensor* shares_with_ = nullptr;
  std::vector<std::byte> remembered_;
  std::size_t begin_ = 0;  // of the first element, in memory_
  DLTensor tensor_{};
};

}  // namespace layerhub::testing
