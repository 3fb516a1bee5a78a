// SPDX-License-Identifier: Apache-2.0
// The common call, checked in straight lines: one to three inputs, one output, all of them dense.
//
// It only ever says yes. A call that is not of this form, or that breaks a constraint, is left to ConstraintProgram,
// which knows every form and which constraint to name; so what is awkward (strides, empty tensors, partial overlap)
// needs no care here, and the tensors that hosts pass nearly always cost a fifth of the full check.
#pragma once

#include "dispatch/constraint_program.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace layerhub::dispatch {

class DenseCheck {
 public:
  static constexpr std::size_t max_inputs = 3;

  DenseCheck() = default;
  explicit DenseCheck(const ConstraintProgram& program);

  // 0: the kernel's arguments are not of this form, and holds() must not be asked.
  std::size_t n_inputs() const noexcept { return n_inputs_; }

  // true: everything that ConstraintProgram::check looks at holds. n is n_inputs(). None of the tensors is nullptr.
  template <std::size_t n>
  bool holds(const ConstraintProgram& program, const DLTensor* const* in, const DLTensor* y) const noexcept;

 private:
  using Relation = ConstraintProgram::Relation;
  using Span = ConstraintProgram::Span;

  // Of one tensor; the output is the last.
  struct Rule {
    std::uint32_t n_dtypes = 0;  // 0: any
    std::array<std::uint32_t, 2> dtypes{};
    std::int32_t min_rank = 1;
    std::uint32_t more_ranks = 0;    // max_rank - min_rank
    std::uint64_t alignment = 0;     // the mask of bits that an address must not have; for the widest of its dtypes
    bool like_first = false;         // of the first input's dtype and shape, so that nothing else is left to check
    bool may_be_the_output = false;  // the same address is allowed
  };

  static bool takes(const Rule& rule, const DLTensor& x, Span& span) noexcept;
  static bool equals_first(const Rule& rule, const DLTensor& x, const DLTensor& first, Span first_span,
                           Span& span) noexcept;
  void add_rule(const ConstraintProgram& program, std::size_t i);

  std::size_t n_inputs_ = 0;
  std::array<Rule, max_inputs + 1> rules_{};
  std::vector<Relation> relations_;  // what is not said by like_first
  std::vector<Span> weights_;
};

inline bool DenseCheck::takes(const Rule& rule, const DLTensor& x, Span& span) noexcept {
  std::uint32_t dtype;
  std::memcpy(&dtype, &x.dtype, sizeof dtype);
  const bool dtype_fits = rule.n_dtypes == 0 || dtype == rule.dtypes[0] || dtype == rule.dtypes[1];
  if (!dtype_fits || static_cast<std::uint32_t>(x.ndim - rule.min_rank) > rule.more_ranks) {
    return false;
  }
  std::int64_t elements = 1;
  for (std::int32_t d = x.ndim; d-- > 0; elements *= x.shape[d]) {
    if (x.strides[d] != elements) {
      return false;
    }
  }
  span.begin = reinterpret_cast<std::uintptr_t>(x.data) + x.byte_offset;
  span.end = span.begin + static_cast<std::uintptr_t>(elements) * (x.dtype.bits * x.dtype.lanes / 8u);
  return elements > 0 && x.data != nullptr && (span.begin & rule.alignment) == 0 && x.dtype.bits != 0 &&
         x.dtype.bits % 8u == 0;
}

inline bool DenseCheck::equals_first(const Rule& rule, const DLTensor& x, const DLTensor& first, Span first_span,
                                     Span& span) noexcept {
  std::uint64_t rank_and_dtype, rank_and_dtype_of_first;  // neighbours in DLTensor
  static_assert(offsetof(DLTensor, dtype) == offsetof(DLTensor, ndim) + sizeof x.ndim);
  std::memcpy(&rank_and_dtype, &x.ndim, sizeof rank_and_dtype);
  std::memcpy(&rank_and_dtype_of_first, &first.ndim, sizeof rank_and_dtype);
  if (rank_and_dtype != rank_and_dtype_of_first) {
    return false;
  }
  if (x.shape != first.shape || x.strides != first.strides) {
    for (std::int32_t d = 0; d < first.ndim; ++d) {
      if (x.shape[d] != first.shape[d] || x.strides[d] != first.strides[d]) {
        return false;
      }
    }
  }
  span.begin = reinterpret_cast<std::uintptr_t>(x.data) + x.byte_offset;
  span.end = span.begin + (first_span.end - first_span.begin);
  return x.data != nullptr && (span.begin & rule.alignment) == 0;
}

template <std::size_t n>
[[gnu::always_inline]] inline bool DenseCheck::holds(const ConstraintProgram& program, const DLTensor* const* in,
                                                     const DLTensor* y) const noexcept {
  std::array<const DLTensor*, n + 1> all;
  std::array<Span, n + 1> spans;
  const DLTensor& first = *in[0];
#pragma GCC unroll 4
  for (std::size_t i = 0; i <= n; ++i) {
    const DLTensor& x = i < n ? *in[i] : *y;
    all[i] = &x;
    if (i != 0 && detail::device_key(x.device) != detail::device_key(first.device)) {
      return false;
    }
    const bool fits = i != 0 && rules_[i].like_first ? equals_first(rules_[i], x, first, spans[0], spans[i])
                                                     : takes(rules_[i], x, spans[i]);
    if (!fits) {
      return false;
    }
  }
  const Span written = spans[n];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < n; ++i) {
    const bool same = rules_[i].may_be_the_output && spans[i].begin == written.begin;
    if (written.begin < spans[i].end && spans[i].begin < written.end && !same) {
      return false;
    }
  }
  for (const Span& weight : weights_) {
    if (written.begin < weight.end && weight.begin < written.end) {
      return false;
    }
  }
  for (const Relation& relation : relations_) {
    if (!program.holds(relation, all.data())) {
      return false;
    }
  }
  return true;
}

}  // namespace layerhub::dispatch
