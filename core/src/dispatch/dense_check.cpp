// SPDX-License-Identifier: Apache-2.0
#include "dispatch/dense_check.hpp"

#include "dispatch/tensor_layout.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace layerhub::dispatch {
namespace {

// What an address of any dtype may be held against: no element of a plain dtype is wider.
constexpr std::uint64_t widest_element = 16;

std::uint64_t bytes_of(std::uint32_t bits_of_dtype) {
  DLDataType dtype;
  std::memcpy(&dtype, &bits_of_dtype, sizeof dtype);
  return static_cast<std::uint64_t>(element_bytes(dtype));
}

}  // namespace

DenseCheck::DenseCheck(const ConstraintProgram& program) : weights_(program.weights_) {
  const auto& tensors = program.tensors_;
  const std::size_t inputs = tensors.empty() ? 0 : tensors.size() - 1;
  if (inputs < 1 || inputs > max_inputs || !tensors.back().written) {
    return;
  }
  for (std::size_t i = 0; i <= inputs; ++i) {
    if (tensors[i].optional || tensors[i].n_dtypes > 2 || (tensors[i].written && i != inputs)) {
      return;
    }
  }
  for (std::size_t i = 0; i <= inputs; ++i) {
    add_rule(program, i);
  }
  for (std::size_t i = 0; i < inputs; ++i) {  // dense, and both like the first: the same address is the same memory
    const bool comparable = (i == 0 || rules_[i].like_first) && rules_[inputs].like_first;
    rules_[i].may_be_the_output = comparable && (program.may_alias_[inputs] >> i & 1u) != 0;
  }
  for (const Relation& relation : program.relations_) {
    const bool of_first = relation.tensor == 0 || relation.other == 0;
    const std::size_t other = std::max(relation.tensor, relation.other);
    const bool said =
        of_first && rules_[other].like_first &&
        (relation.op == ConstraintProgram::Op::same_shape || relation.op == ConstraintProgram::Op::same_dtype);
    if (!said) {
      relations_.push_back(relation);
    }
  }
  n_inputs_ = inputs;
}

void DenseCheck::add_rule(const ConstraintProgram& program, std::size_t i) {
  const ConstraintProgram::Tensor& t = program.tensors_[i];
  Rule& rule = rules_[i];
  rule.n_dtypes = t.n_dtypes;
  std::uint64_t widest = t.n_dtypes == 0 ? widest_element : 1;
  for (std::size_t n = 0; n < rule.dtypes.size() && t.n_dtypes != 0; ++n) {
    rule.dtypes[n] = t.dtypes[std::min<std::size_t>(n, t.n_dtypes - 1u)];
    widest = std::max(widest, bytes_of(rule.dtypes[n]));
  }
  rule.alignment = t.alignment_mask | (std::bit_ceil(widest) - 1);
  rule.min_rank = t.min_rank;
  rule.more_ranks = static_cast<std::uint32_t>(std::max(t.max_rank - t.min_rank, 0));

  bool same_shape = false, same_dtype = false;
  for (const Relation& r : program.relations_) {
    if ((r.tensor == i && r.other == 0) || (r.tensor == 0 && r.other == i)) {
      same_shape |= r.op == ConstraintProgram::Op::same_shape && r.dim == ConstraintProgram::no_dim;
      same_dtype |= r.op == ConstraintProgram::Op::same_dtype;
    }
  }
  const ConstraintProgram::Tensor& first = program.tensors_[0];
  const bool takes_what_first_takes = t.n_dtypes == 0 && t.min_rank <= first.min_rank && t.max_rank >= first.max_rank;
  rule.like_first = i != 0 && same_shape && same_dtype && takes_what_first_takes;
  if (rule.like_first) {
    rule.alignment = rules_[0].alignment | t.alignment_mask;
  }
}

}  // namespace layerhub::dispatch
