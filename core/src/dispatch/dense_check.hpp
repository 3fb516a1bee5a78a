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
#include <optional>
#include <vector>

namespace layerhub::dispatch {

class DenseCheck {
 public:
  static constexpr std::size_t max_inputs = 3;

  DenseCheck() = default;
  explicit DenseCheck(const ConstraintProgram& program);

  // 0: the kernel's arguments are not of this form, and no more must be asked.
  std::size_t n_inputs() const noexcept { return n_inputs_; }

  // Some tensor is like the first but for its last dimension. A check that knows of none is shorter.
  bool has_resembling() const noexcept { return has_resembling_; }

  // Where both are true, everything that ConstraintProgram::check looks at holds. n is n_inputs(), resembling is
  // has_resembling(). None of the tensors is nullptr. The rest, relations that are not said by likeness and weights, is
  // asked when the tensors hold and has_rest(): it is apart, so that those that have none need no frame for a call.
  template <std::size_t n, bool resembling>
  bool tensors_hold(const DLTensor* const* in, const DLTensor* y) const noexcept;
  bool has_rest() const noexcept { return has_rest_; }
  bool rest_holds(const ConstraintProgram& program, const DLTensor* const* in, const DLTensor* y) const noexcept;

 private:
  using Relation = ConstraintProgram::Relation;
  using Span = ConstraintProgram::Span;

  // times * a size == times_of_first * that of the first input.
  struct Ratio {
    std::int64_t times = 0, times_of_first = 0;
    bool operator==(const Ratio&) const = default;
  };
  // Of one tensor; the output is the last.
  struct Rule {
    std::array<std::uint32_t, 3> dtypes{};  // the last may stand there again
    std::array<std::uint32_t, 3> bytes{};   // of one element of each
    std::int32_t min_rank = 1;
    std::uint32_t more_ranks = 0;      // max_rank - min_rank
    std::uint64_t alignment = 0;       // the mask of bits that an address must not have; for the wider of its dtypes
    bool like_first = false;           // of the first input's dtype and shape, so that nothing else is left to check
    bool like_first_but_last = false;  // the same but for the size of the last dimension, as of a gated activation
    Ratio last;                        // that size to the first's, where it is stated
    bool may_be_the_output = false;    // the same address is allowed
  };

  // element: set to the bytes of one.
  static bool takes(const Rule& rule, const DLTensor& x, std::uint64_t& element, Span& span) noexcept;
  static bool equals_first(const Rule& rule, const DLTensor& x, const DLTensor& first, Span first_span,
                           Span& span) noexcept;
  static bool resembles_first(const Rule& rule, const DLTensor& x, const DLTensor& first, std::uint64_t element,
                              Span& span) noexcept;
  static bool placed(const Rule& rule, const DLTensor& x, std::uint64_t bytes, Span& span) noexcept;
  static bool same_rank_and_dtype(const DLTensor& a, const DLTensor& b) noexcept;
  bool add_rule(const ConstraintProgram& program, std::size_t i);
  // Of the last dimensions of the first and another tensor.
  static std::optional<Ratio> ratio_of_last(const Relation& relation) noexcept;
  bool is_said(const Relation& relation, std::size_t inputs) const noexcept;

  std::array<Rule, max_inputs + 1> rules_{};
  bool has_rest_ = false;  // relations or weights
  bool has_resembling_ = false;
  std::size_t n_inputs_ = 0;
  std::vector<Relation> relations_;  // what the rules do not say
  std::vector<Span> weights_;
};

// One comparison after the other, each with its way out: what is gathered in flags first costs registers, and those
// cost pushes.
[[gnu::always_inline]] inline bool DenseCheck::takes(const Rule& rule, const DLTensor& x, std::uint64_t& element,
                                                     Span& span) noexcept {
  std::uint32_t dtype;
  std::memcpy(&dtype, &x.dtype, sizeof dtype);
  element = rule.bytes[0];
  if (dtype != rule.dtypes[0]) {
    if (dtype != rule.dtypes[1] && dtype != rule.dtypes[2]) {
      return false;
    }
    element = dtype == rule.dtypes[1] ? rule.bytes[1] : rule.bytes[2];
  }
  if (static_cast<std::uint32_t>(x.ndim - rule.min_rank) > rule.more_ranks) {
    return false;
  }
  std::int64_t elements = 1;
  const std::int64_t *stride = x.strides + x.ndim, *size = x.shape + x.ndim;
  while (stride != x.strides) {
    if (*--stride != elements) {
      return false;
    }
    elements *= *--size;
  }
  return elements > 0 && placed(rule, x, static_cast<std::uint64_t>(elements) * element, span);
}

[[gnu::always_inline]] inline bool DenseCheck::placed(const Rule& rule, const DLTensor& x, std::uint64_t bytes,
                                                      Span& span) noexcept {
  if (x.data == nullptr) {
    return false;
  }
  span.begin = reinterpret_cast<std::uintptr_t>(x.data) + x.byte_offset;
  span.end = span.begin + bytes;
  return (span.begin & rule.alignment) == 0;
}

[[gnu::always_inline]] inline bool DenseCheck::same_rank_and_dtype(const DLTensor& a, const DLTensor& b) noexcept {
  std::uint64_t of_a, of_b;  // neighbours in DLTensor
  static_assert(offsetof(DLTensor, dtype) == offsetof(DLTensor, ndim) + sizeof a.ndim);
  std::memcpy(&of_a, &a.ndim, sizeof of_a);
  std::memcpy(&of_b, &b.ndim, sizeof of_b);
  return of_a == of_b;
}

[[gnu::always_inline]] inline bool DenseCheck::equals_first(const Rule& rule, const DLTensor& x, const DLTensor& first,
                                                            Span first_span, Span& span) noexcept {
  if (!same_rank_and_dtype(x, first)) {
    return false;
  }
  if (x.shape != first.shape || x.strides != first.strides) {
    for (std::int32_t d = 0; d < first.ndim; ++d) {
      if (x.shape[d] != first.shape[d] || x.strides[d] != first.strides[d]) {
        return false;
      }
    }
  }
  return placed(rule, x, first_span.end - first_span.begin, span);
}

// The first has a dimension, or the rule would not be of this kind.
[[gnu::always_inline]] inline bool DenseCheck::resembles_first(const Rule& rule, const DLTensor& x,
                                                               const DLTensor& first, std::uint64_t element,
                                                               Span& span) noexcept {
  if (!same_rank_and_dtype(x, first)) {
    return false;
  }
  const std::int32_t last = x.ndim - 1;
  std::int64_t elements = x.shape[last];
  if (x.strides[last] != 1 || elements * rule.last.times != first.shape[last] * rule.last.times_of_first) {
    return false;
  }
  for (std::int32_t d = last; d-- > 0; elements *= x.shape[d]) {
    if (x.shape[d] != first.shape[d] || x.strides[d] != elements) {
      return false;
    }
  }
  return elements > 0 && placed(rule, x, static_cast<std::uint64_t>(elements) * element, span);
}

template <std::size_t n, bool resembling>
[[gnu::always_inline]] inline bool DenseCheck::tensors_hold(const DLTensor* const* in,
                                                            const DLTensor* y) const noexcept {
  std::array<Span, n + 1> spans;
  const DLTensor& first = *in[0];
  std::uint64_t element = 0, of_another = 0;  // bytes of one of the first's, which those that resemble it have as well
#pragma GCC unroll 4
  for (std::size_t i = 0; i <= n; ++i) {
    const DLTensor& x = i < n ? *in[i] : *y;
    if (i != 0 && detail::device_key(x.device) != detail::device_key(first.device)) {
      return false;
    }
    if (i != 0 && rules_[i].like_first) {
      if (!equals_first(rules_[i], x, first, spans[0], spans[i])) {
        return false;
      }
    } else if (resembling && i != 0 && rules_[i].like_first_but_last) {
      if (!resembles_first(rules_[i], x, first, element, spans[i])) {
        return false;
      }
    } else if (!takes(rules_[i], x, i == 0 ? element : of_another, spans[i])) {
      return false;
    }
  }
  const Span written = spans[n];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < n; ++i) {
    if (written.begin < spans[i].end && spans[i].begin < written.end &&
        !(rules_[i].may_be_the_output && spans[i].begin == written.begin)) {
      return false;
    }
  }
  return true;
}

}  // namespace layerhub::dispatch
