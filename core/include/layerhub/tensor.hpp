// SPDX-License-Identifier: Apache-2.0
// A host's own tensor type, seen through one customization point.
//
//   DLTensor as_dltensor(const Tensor& tensor);    // in the namespace of Tensor, found by its argument
//
// It returns a view: data, device, dtype, shape and strides in elements (NULL strides: dense row-major). What shape and
// strides point to must stay valid for the length of the call, or of the binding for a weight: let them point into the
// tensor. layerhub owns no tensors and never copies their data. A DLTensor itself is a tensor, taken as it is.
#pragma once

#include <dlpack/dlpack.h>

#include <concepts>
#include <type_traits>

namespace layerhub {

inline const DLTensor& as_dltensor(const DLTensor& tensor) noexcept { return tensor; }

// Something that the kernel gets as a DLTensor: every type for which as_dltensor is found.
template <class T>
concept TensorLike = requires(const std::remove_cvref_t<T>& tensor) {
  { as_dltensor(tensor) } -> std::convertible_to<DLTensor>;
};

}  // namespace layerhub
