// SPDX-License-Identifier: Apache-2.0
// A kernel of dense rows with what it needs besides: for rules that cases made from declarations can't show, as those
// of very many or very wide rows.
#pragma once

#include "support/kernel_instance.hpp"

#include <layerhub/abi.h>

#include <cstdint>
#include <vector>

namespace layerhub::testing {

// Inputs have rows of x_width elements, outputs and params of y_width; all have one float dtype. Params are drawn from
// normal numbers, attributes are those of the layer's first example.
class DenseKernel {
 public:
  DenseKernel(const lh_kernel& kernel, DLDataType dtype, std::int64_t x_width, std::int64_t y_width);
  DenseKernel(const DenseKernel&) = delete;
  DenseKernel& operator=(const DenseKernel&) = delete;

  std::size_t inputs() const { return count_of(LH_ARG_INPUT); }
  std::size_t outputs() const { return count_of(LH_ARG_OUTPUT); }
  // Of the param with this number.
  std::vector<double> param(std::size_t number) const;
  double attribute(const char* name) const { return case_.numbers.at(name); }

  // Calls forward for `rows` rows of each input and output, which begin at these addresses.
  void operator()(std::int64_t rows, const std::vector<const void*>& inputs, const std::vector<void*>& outputs) const;

 private:
  std::size_t count_of(std::uint32_t kind) const;

  const lh_kernel& kernel_;
  const DLDataType dtype_;
  const std::int64_t x_width_, y_width_;
  KernelCase case_;
  CaseTensors params_;
  Instance instance_;  // goes before the params that it was made from
};

}  // namespace layerhub::testing
