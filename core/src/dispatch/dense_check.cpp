// SPDX-License-Identifier: Apache-2.0
#include "dispatch/dense_check.hpp"

#include "dispatch/tensor_layout.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace layerhub::dispatch {
namespace {

// Of an element; 0: not a whole number of bytes.
std::uint32_t bytes_of(std::uint32_t bits_of_dtype) {
  DLDataType dtype;
  std::memcpy(&dtype, &bits_of_dtype, sizeof dtype);
  return dtype.bits % 8u != 0 ? 0 : static_cast<std::uint32_t>(element_bytes(dtype));
}

}  // namespace

DenseCheck::DenseCheck(const ConstraintProgram& program) : weights_(program.weights_) {
  const auto& tensors = program.tensors_;
  const std::size_t inputs = tensors.empty() ? 0 : tensors.size() - 1;
  if (program.data_is_handle_ || inputs < 1 || inputs > max_inputs || !tensors.back().written) {
    return;
  }
  for (std::size_t i = 0; i <= inputs; ++i) {
    if (tensors[i].optional || tensors[i].n_dtypes > Rule{}.dtypes.size() || (tensors[i].written && i != inputs)) {
      return;
    }
  }
  for (std::size_t i = 0; i <= inputs; ++i) {
    if (!add_rule(program, i)) {
      return;
    }
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
  has_rest_ = !relations_.empty() || !weights_.empty();
  n_inputs_ = inputs;
}

bool DenseCheck::rest_holds(const ConstraintProgram& program, const DLTensor* const* in, const DLTensor* y,
                            Span written) const noexcept {
  for (const Span& weight : weights_) {
    if (written.begin < weight.end && weight.begin < written.end) {
      return false;
    }
  }
  std::array<const DLTensor*, max_inputs + 1> all;
  std::copy_n(in, n_inputs_, all.begin());
  all[n_inputs_] = y;
  return std::all_of(relations_.begin(), relations_.end(),
                     [&](const Relation& relation) { return program.holds(relation, all.data()); });
}

// false: a tensor that the quick check knows no rule for, such as one of any dtype.
bool DenseCheck::add_rule(const ConstraintProgram& program, std::size_t i) {
  const ConstraintProgram::Tensor& t = program.tensors_[i];
  Rule& rule = rules_[i];
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
  // Of the dtype of the first: what is listed for that, with the relation that ties the two.
  const ConstraintProgram::Tensor& listed = t.n_dtypes == 0 && same_dtype ? first : t;
  std::uint32_t widest = 1;
  for (std::size_t n = 0; n < rule.dtypes.size(); ++n) {
    rule.dtypes[n] = listed.dtypes[std::min<std::size_t>(n, std::max(listed.n_dtypes, std::uint8_t{1}) - 1u)];
    rule.bytes[n] = bytes_of(rule.dtypes[n]);
    widest = std::max(widest, rule.bytes[n]);
  }
  rule.alignment = t.alignment_mask | (std::bit_ceil(widest) - 1);
  rule.min_rank = t.min_rank;
  rule.more_ranks = static_cast<std::uint32_t>(std::max(t.max_rank - t.min_rank, 0));
  return listed.n_dtypes != 0 && std::find(rule.bytes.begin(), rule.bytes.end(), 0u) == rule.bytes.end();
}

}  // namespace layerhub::dispatch
