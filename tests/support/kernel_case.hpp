// SPDX-License-Identifier: Apache-2.0
// Cases for a kernel, made from nothing but what it declares: its arguments, constraints, formats and attributes.
//
// A constraint is a promise to the host ("I read any strides"), so each one opens cases that hold the kernel to it:
// dtypes and block formats of every argument, widths around the sizes of vectors, one row and many, padded
// and permuted rows, rows that share memory, data that begins at an odd element, an output in place of its
// input, optional arguments absent, a NaN in each input. A layer's examples (sdk/reference.hpp) fix shapes and numbers
// where constraints leave open what fits together.
#pragma once

#include "support/known_layers.hpp"

#include <layerhub/abi.h>
#include <layerhub/sdk/formats.hpp>

#include <map>
#include <string>
#include <vector>

namespace layerhub::testing {

// One tensor argument: what it holds and how it lies in memory. Scalars have one too, not present.
struct TensorPlan {
  bool present = false;
  std::vector<std::int64_t> shape;           // logical
  DLDataType dtype{};                        // u8 where there is a format
  const sdk::BlockFormat* format = nullptr;  // NULL: a plain dtype
  std::vector<std::int64_t> stored_shape;    // that of the DLTensor: with a format, bytes in the last dimension
  std::vector<std::int64_t> strides;         // elements of the stored shape
  std::uint64_t byte_offset = 0;
  int alias_of = -1;  // the argument whose memory and layout it shares
};

struct KernelCase {
  std::string text;                 // "f32 [3, 7], rows padded": for messages, and the seed of its values
  std::vector<TensorPlan> tensors;  // per argument, in the declared order
  std::map<std::string, double, std::less<>> numbers;
  std::map<std::string, std::string, std::less<>> texts;
  double deviation = 1;
  double outliers = 0;  // the share of an input's elements that are 16 times as large
  bool has_nan = false;  // one element of each input is NaN
};

std::vector<KernelCase> cases_for(const lh_kernel& kernel, const KnownLayer& layer);

bool is_tensor(const lh_arg& argument);
std::string text_of(DLDataType dtype);

}  // namespace layerhub::testing
