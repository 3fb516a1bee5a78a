// SPDX-License-Identifier: Apache-2.0
// Questions about DLTensors that the host answers for kernels: names of dtypes, where memory begins and ends, what
// overlaps what. Strides are in elements and never NULL here.
#pragma once

#include <dlpack/dlpack.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace layerhub::dispatch {

inline std::uint32_t dtype_bits(DLDataType dtype) noexcept {
  std::uint32_t bits;
  static_assert(sizeof bits == sizeof dtype);
  std::memcpy(&bits, &dtype, sizeof bits);
  return bits;
}

std::string dtype_name(DLDataType dtype);  // "float32"

// "x float32[2, 64] on opencl:0", or "x absent" for NULL: for messages.
std::string describe_tensor(std::string_view name, const DLTensor* x);

// Of one element; a type of fewer than 8 bits takes a whole byte.
inline std::int64_t element_bytes(DLDataType dtype) noexcept {
  return (std::int64_t{dtype.bits} * dtype.lanes + 7) / 8;
}

inline std::uintptr_t first_byte(const DLTensor& x) noexcept {
  return reinterpret_cast<std::uintptr_t>(x.data) + x.byte_offset;
}

// Where a dimension stands in this rank (negative ones count from the end), or -1.
inline std::int32_t position(std::int32_t dim, std::int32_t rank) noexcept {
  const std::int32_t at = dim < 0 ? dim + rank : dim;
  return at >= 0 && at < rank ? at : -1;
}

// The same elements in the same layout.
bool same_memory(const DLTensor& a, const DLTensor& b) noexcept;

// Two views of one buffer with rows of the same pitch, such as the gate and the up half of one projection: their spans
// interleave and yet no byte is shared, since each keeps to its own columns.
bool in_other_columns(const DLTensor& a, const DLTensor& b) noexcept;

// Whether writing through these strides could write one byte twice. Strides must not be negative.
bool writes_itself(const DLTensor& x) noexcept;

// Whether the spans of bytes of two tensors meet.
bool may_overlap(const DLTensor& a, const DLTensor& b) noexcept;

}  // namespace layerhub::dispatch
