// SPDX-License-Identifier: Apache-2.0
#include "dispatch/dense_check.hpp"

#include "dispatch/tensor_layout.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

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
  std::copy_if(program.relations_.begin(), program.relations_.end(), std::back_inserter(relations_),
               [&](const Relation& relation) { return !is_said(relation, inputs); });
  has_resembling_ =
      std::any_of(rules_.begin(), rules_.end(), [](const Rule& rule) { return rule.like_first_but_last; });
  has_rest_ = !relations_.empty() || !weights_.empty();
  n_inputs_ = inputs;
}

std::optional<DenseCheck::Ratio> DenseCheck::ratio_of_last(const Relation& r) noexcept {
  if (r.op != ConstraintProgram::Op::ratio || r.dim != -1 || r.other_dim != -1) {
    return std::nullopt;
  }
  return r.tensor == 0 ? Ratio{r.a, r.b} : Ratio{r.b, r.a};
}

// The rules of the tensors that are like the first leave nothing of it to check. Dimensions that big that a product of
// their sizes would wrap are of no tensor.
bool DenseCheck::is_said(const Relation& relation, std::size_t inputs) const noexcept {
  using Op = ConstraintProgram::Op;
  if (relation.op == Op::multiple) {
    const auto makes_it_so = [&](const Rule& rule) {
      return rule.like_first_but_last && rule.last.times_of_first == 1 && rule.last.times % relation.a == 0;
    };
    return relation.tensor == 0 && relation.dim == -1 &&
           std::any_of(rules_.begin() + 1, rules_.begin() + static_cast<std::ptrdiff_t>(inputs) + 1, makes_it_so);
  }
  if (relation.tensor != 0 && relation.other != 0) {
    return false;
  }
  const Rule& rule = rules_[std::max(relation.tensor, relation.other)];
  if (relation.op == Op::ratio) {
    return rule.like_first_but_last && ratio_of_last(relation) == rule.last;
  }
  return (relation.op == Op::same_dtype && (rule.like_first || rule.like_first_but_last)) ||
         (relation.op == Op::same_shape && (rule.like_first || (rule.like_first_but_last && relation.dim == -1)));
}

bool DenseCheck::rest_holds(const ConstraintProgram& program, const DLTensor* const* in,
                            const DLTensor* y) const noexcept {
  if (!weights_.empty()) {
    std::int64_t bytes = element_bytes(y->dtype);  // of a dense tensor
    for (std::int32_t d = 0; d < y->ndim; ++d) {
      bytes *= y->shape[d];
    }
    const Span written = program.span_of(*y, bytes);
    for (const Span& weight : weights_) {
      if (written.begin < weight.end && weight.begin < written.end) {
        return false;
      }
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
  bool same_shape = false, same_but_last = false, same_dtype = false;
  for (const Relation& r : program.relations_) {
    if ((r.tensor == i && r.other == 0) || (r.tensor == 0 && r.other == i)) {
      same_shape |= r.op == ConstraintProgram::Op::same_shape && r.dim == ConstraintProgram::no_dim;
      same_but_last |= r.op == ConstraintProgram::Op::same_shape && r.dim == -1;
      same_dtype |= r.op == ConstraintProgram::Op::same_dtype;
      rule.last = ratio_of_last(r).value_or(rule.last);
    }
  }
  const ConstraintProgram::Tensor& first = program.tensors_[0];
  const bool takes_what_first_takes = t.n_dtypes == 0 && t.min_rank <= first.min_rank && t.max_rank >= first.max_rank;
  const bool like_first = i != 0 && same_dtype && takes_what_first_takes;
  rule.like_first = like_first && same_shape;
  rule.like_first_but_last = like_first && !same_shape && same_but_last && first.min_rank > 0;
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
