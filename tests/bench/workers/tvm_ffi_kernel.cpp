// SPDX-License-Identifier: Apache-2.0
// tvm-ffi's side of what a call costs: the kernels of bench/nothing as a library of functions exported by it. As its
// documents have it, a kernel takes views and checks them by hand; nothing is checked for it but what kind of argument
// each is.
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/error.h>
#include <tvm/ffi/function.h>

#include <cstdint>

namespace {

using tvm::ffi::Tensor;
using tvm::ffi::TensorView;

void unchecked(TensorView, TensorView y) { ++*static_cast<std::int64_t*>(y.data_ptr()); }

// Takes part in owning both for the time of the call.
void owned(Tensor, Tensor y) { ++*static_cast<std::int64_t*>(y.data_ptr()); }

// What bench/nothing declares for Checked: int64, the same dtype and shape, dense.
void checked(TensorView x, TensorView y) {
  TVM_FFI_CHECK(x.dtype() == (DLDataType{kDLInt, 64, 1}), TypeError) << "x is not int64";
  TVM_FFI_CHECK(y.dtype() == x.dtype(), TypeError) << "y is not of the dtype of x";
  TVM_FFI_CHECK(y.ndim() == x.ndim(), ValueError) << "y is not of the rank of x";
  std::int64_t stride = 1;
  for (std::int32_t d = x.ndim(); d-- > 0; stride *= x.size(d)) {
    TVM_FFI_CHECK(y.size(d) == x.size(d), ValueError) << "y is not of the shape of x";
    TVM_FFI_CHECK(x.stride(d) == stride && y.stride(d) == stride, ValueError) << "x and y are not dense";
  }
  ++*static_cast<std::int64_t*>(y.data_ptr());
}

}  // namespace

TVM_FFI_DLL_EXPORT_TYPED_FUNC(unchecked, unchecked)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(owned, owned)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(checked, checked)
