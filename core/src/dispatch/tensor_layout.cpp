// SPDX-License-Identifier: Apache-2.0
#include "dispatch/tensor_layout.hpp"

#include <layerhub/abi.h>
#include <layerhub/device.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstddef>

namespace layerhub::dispatch {

std::string dtype_name(DLDataType dtype) {
  const char* base = "type";
  switch (dtype.code) {
    case kDLInt: base = "int"; break;
    case kDLUInt: base = "uint"; break;
    case kDLFloat: base = "float"; break;
    case kDLBfloat: base = "bfloat"; break;
    default: break;
  }
  return fmt::format("{}{}{}", base, dtype.bits, dtype.lanes == 1 ? "" : fmt::format("x{}", dtype.lanes));
}

std::string describe_tensor(std::string_view name, const DLTensor* x) {
  return x == nullptr ? fmt::format("{} absent", name)
                      : fmt::format("{} {}[{}] on {}", name, dtype_name(x->dtype),
                                    fmt::join(x->shape, x->shape + x->ndim, ", "), to_string(Device::of(x->device)));
}

bool same_memory(const DLTensor& a, const DLTensor& b) noexcept {
  if (first_byte(a) != first_byte(b) || a.ndim != b.ndim || dtype_bits(a.dtype) != dtype_bits(b.dtype)) {
    return false;
  }
  return std::equal(a.shape, a.shape + a.ndim, b.shape) && std::equal(a.strides, a.strides + a.ndim, b.strides);
}

bool in_other_columns(const DLTensor& a, const DLTensor& b) noexcept {
  if (a.ndim != b.ndim || a.ndim < 2 || dtype_bits(a.dtype) != dtype_bits(b.dtype) || a.strides[a.ndim - 1] != 1 ||
      b.strides[b.ndim - 1] != 1 || a.strides[a.ndim - 2] != b.strides[b.ndim - 2]) {
    return false;
  }
  for (std::int32_t d = 0; d + 2 < a.ndim; ++d) {  // the rows lie in one grid of that pitch
    if (a.strides[d] != b.strides[d] || a.shape[d + 1] != b.shape[d + 1] ||
        a.strides[d] != a.strides[d + 1] * a.shape[d + 1]) {
      return false;
    }
  }
  const std::int64_t bytes = element_bytes(a.dtype);
  const std::int64_t pitch = a.strides[a.ndim - 2] * bytes;
  const std::int64_t width_a = a.shape[a.ndim - 1] * bytes, width_b = b.shape[b.ndim - 1] * bytes;
  if (pitch <= 0) {
    return false;
  }
  const auto distance = static_cast<std::int64_t>(first_byte(b) - first_byte(a));
  const std::int64_t gap = (distance % pitch + pitch) % pitch;  // from a's first column to b's, forwards
  return gap >= width_a && gap + width_b <= pitch;
}

bool writes_itself(const DLTensor& x) noexcept {
  struct Extent {
    std::int64_t stride, size;
  };
  std::array<Extent, LH_MAX_RANK> extents;  // of the dimensions that have more than one element
  std::size_t n = 0;
  for (std::int32_t d = 0; d < x.ndim; ++d) {
    if (x.shape[d] > 1) {
      extents[n++] = {x.strides[d], x.shape[d]};
    }
  }
  std::sort(extents.begin(), extents.begin() + n, [](Extent a, Extent b) { return a.stride < b.stride; });
  std::int64_t reached = 1;
  for (std::size_t i = 0; i < n; ++i) {
    if (extents[i].stride < reached) {
      return true;
    }
    reached += extents[i].stride * (extents[i].size - 1);
  }
  return false;
}

bool may_overlap(const DLTensor& a, const DLTensor& b) noexcept {
  const auto bytes = [](const DLTensor& x) -> std::int64_t {
    std::int64_t last = 0;
    for (std::int32_t d = 0; d < x.ndim; ++d) {
      if (x.shape[d] == 0) {
        return 0;
      }
      last += (x.shape[d] - 1) * x.strides[d];
    }
    return x.data == nullptr ? 0 : (last + 1) * element_bytes(x.dtype);
  };
  return first_byte(a) < first_byte(b) + static_cast<std::uintptr_t>(bytes(b)) &&
         first_byte(b) < first_byte(a) + static_cast<std::uintptr_t>(bytes(a));
}

}  // namespace layerhub::dispatch
