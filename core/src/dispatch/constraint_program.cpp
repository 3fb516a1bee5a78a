// SPDX-License-Identifier: Apache-2.0
// The checks of a call: straight lines over a few records, no allocation, no text.
#include "dispatch/constraint_program.hpp"

#include "dispatch/tensor_layout.hpp"

#include <layerhub/device.hpp>

#include <algorithm>
#include <array>

namespace layerhub::dispatch {
namespace {

constexpr std::size_t max_tensors = detail::max_inputs + detail::max_outputs;

bool same_device(DLDevice a, DLDevice b) noexcept {
  return (a.device_type == b.device_type && a.device_id == b.device_id) || Device::of(a) == Device::of(b);
}

}  // namespace

std::uint32_t ConstraintProgram::check(const DLTensor* const* in, DLTensor* const* out) const noexcept {
  std::array<const DLTensor*, max_tensors> all;
  std::array<Span, max_tensors> spans;
  const DLTensor* first = nullptr;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& t = tensors_[i];
    const DLTensor* x = tensor_at(t, in, out);
    all[i] = x;
    spans[i] = {0, 0};
    if (x == nullptr) {
      if (!t.optional) {
        return 1 + t.first_failure + fails_device;
      }
      continue;
    }
    first = first == nullptr ? x : first;
    if (const std::uint32_t failure = check_tensor(t, *x, first->device, spans[i])) {
      return failure;
    }
  }
  for (const Relation& relation : relations_) {
    if (!holds(relation, all.data())) {
      return 1 + relation.failure;
    }
  }
  return check_aliasing(all.data(), spans.data());
}

ConstraintProgram::Span ConstraintProgram::span_of(const DLTensor& x, std::int64_t bytes) const noexcept {
  const std::uintptr_t begin = data_is_handle_ ? x.byte_offset : first_byte(x);
  return {begin, begin + static_cast<std::uintptr_t>(bytes), data_is_handle_ ? x.data : nullptr};
}

std::uint32_t ConstraintProgram::check_tensor(const Tensor& t, const DLTensor& x, DLDevice device,
                                              Span& span) const noexcept {
  const std::uint32_t dtype = dtype_bits(x.dtype);
  if (t.n_dtypes != 0 && std::find(t.dtypes, t.dtypes + t.n_dtypes, dtype) == t.dtypes + t.n_dtypes) {
    return 1 + t.first_failure + fails_dtype;
  }
  if (x.ndim < t.min_rank || x.ndim > t.max_rank) {
    return 1 + t.first_failure + fails_rank;
  }
  std::int64_t elements = 1, last = 0;  // how many there are, and the offset of the last in elements
  bool strides_fit = true, dense = true;
  for (std::int32_t d = x.ndim; d-- > 0; elements *= x.shape[d]) {
    const std::int64_t stride = x.strides[d];
    if (x.shape[d] != 1) {
      const bool must_be_dense = t.layout == Layout::dense || (t.layout == Layout::last_dim_dense && d == x.ndim - 1);
      dense &= stride == elements;
      strides_fit &= must_be_dense ? stride == elements : stride >= 0;
      last += (x.shape[d] - 1) * stride;
    }
  }
  const std::int64_t bytes = element_bytes(x.dtype);
  const Span whole = span_of(x, (last + 1) * bytes);
  if (elements == 0) {
    return 0;  // of an empty tensor nothing is read, wherever it points
  }
  if (!strides_fit || (t.written && !dense && writes_itself(x))) {
    return 1 + t.first_failure + fails_layout;
  }
  const std::uint64_t mask =
      t.alignment_mask | ((bytes & (bytes - 1)) == 0 ? static_cast<std::uint64_t>(bytes) - 1 : 0);
  if ((whole.begin & mask) != 0) {
    return 1 + t.first_failure + fails_alignment;
  }
  if (x.data == nullptr || !same_device(x.device, device)) {
    return 1 + t.first_failure + fails_device;
  }
  span = whole;
  return 0;
}

bool ConstraintProgram::holds(const Relation& r, const DLTensor* const* all) const noexcept {
  const DLTensor* x = all[r.tensor];
  const DLTensor* y = all[r.other];
  if (x == nullptr || y == nullptr) {
    return true;  // a constraint that names an absent optional argument holds
  }
  const std::int32_t at = position(r.dim, x->ndim);
  switch (r.op) {
    case Op::range: return at >= 0 && x->shape[at] >= r.a && x->shape[at] <= r.b;
    case Op::multiple: return at >= 0 && x->shape[at] % r.a == 0;
    case Op::ratio: {
      const std::int32_t other_at = position(r.other_dim, y->ndim);
      return at >= 0 && other_at >= 0 && x->shape[at] * r.b == y->shape[other_at] * r.a;
    }
    case Op::same_shape:
      for (std::int32_t d = 0; d < x->ndim && x->ndim == y->ndim; ++d) {
        if (x->shape[d] != y->shape[d] && d != at) {
          return false;
        }
      }
      return x->ndim == y->ndim;
    case Op::same_dtype: return dtype_bits(x->dtype) == dtype_bits(y->dtype);
  }
  return false;
}

std::uint32_t ConstraintProgram::check_aliasing(const DLTensor* const* all, const Span* spans) const noexcept {
  const auto overlap = [](Span a, Span b) { return a.buffer == b.buffer && a.begin < b.end && b.begin < a.end; };
  for (std::size_t w = 0; w < tensors_.size(); ++w) {
    if (!tensors_[w].written) {
      continue;
    }
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      if (i == w || (tensors_[i].written && i > w) || !overlap(spans[w], spans[i])) {
        continue;
      }
      const bool allowed = (may_alias_[w] >> i & 1u) != 0 && same_memory(*all[w], *all[i]);
      if (!allowed && !in_other_columns(*all[w], *all[i])) {
        return 1 + tensors_[w].first_failure + fails_aliasing;
      }
    }
    for (const Span& weight : weights_) {
      if (overlap(spans[w], weight)) {
        return 1 + tensors_[w].first_failure + fails_aliasing;
      }
    }
  }
  return 0;
}

}  // namespace layerhub::dispatch
