// SPDX-License-Identifier: Apache-2.0
// tvm-ffi as the other side of a comparison: calls of functions of a library (tvm_ffi_kernel.cpp) through its Function,
// from C++, one thread. tests/bench/peers compiles both against tvm-ffi's headers.
//
//   tvm_ffi_worker LIBRARY...
// Reads a command a line and answers a line, or "error ...":
//   version                                  tvm-ffi's
//   call unchecked|checked|owned REPEATS     nanoseconds of one call with two tensors of int64 [1, 128]; owned passes
//                                            tvm-ffi's counted tensors, the others pass DLTensors. The time is that of
//                                            the library that is fastest: which optimizations serve a view's copies
//                                            depends on what a kernel reads of them, by a factor of three
#include <tvm/ffi/container/shape.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace ffi = tvm::ffi;

struct Allocator {
  void AllocData(DLTensor* tensor) { tensor->data = std::calloc(128, sizeof(std::int64_t)); }
  void FreeData(DLTensor* tensor) { std::free(tensor->data); }
};

ffi::Tensor make_tensor() {
  return ffi::Tensor::FromNDAlloc(Allocator{}, ffi::Shape({1, 128}), DLDataType{kDLInt, 64, 1}, DLDevice{kDLCPU, 0});
}

template <class T>
[[gnu::noinline]] void call(const ffi::Function& function, T& x, T& y, std::int64_t repeats) {
  for (std::int64_t i = 0; i < repeats; ++i) {
    function(x, y);
  }
}

double measure(const ffi::Module& library, const std::string& name, std::int64_t repeats) {
  const ffi::Function function = library->GetFunction(name).value();
  ffi::Tensor x = make_tensor(), y = make_tensor();
  DLTensor view_x = *x.GetDLTensorPtr(), view_y = *y.GetDLTensorPtr();
  DLTensor *at_x = &view_x, *at_y = &view_y;
  const auto start = std::chrono::steady_clock::now();
  if (name == "owned") {
    call(function, x, y, repeats);
  } else {
    call(function, at_x, at_y, repeats);
  }
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  if (*static_cast<std::int64_t*>(y.data_ptr()) != repeats) {
    throw std::runtime_error("not every call reached its function");
  }
  return took.count() / static_cast<double>(repeats);
}

double measure_fastest(const std::vector<ffi::Module>& libraries, const std::string& name, std::int64_t repeats) {
  double fastest = std::numeric_limits<double>::infinity();
  for (const ffi::Module& library : libraries) {
    fastest = std::min(fastest, measure(library, name, repeats));
  }
  return fastest;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<ffi::Module> libraries;
  for (int i = 1; i < argc; ++i) {
    libraries.push_back(ffi::Module::LoadFromFile(argv[i]));
  }
  for (std::string line, word; std::getline(std::cin, line);) {
    std::istringstream command(line);
    command >> word;
    try {
      std::string name;
      std::int64_t repeats = 0;
      command >> name >> repeats;
      std::cout << (word == "version" ? TVM_FFI_WORKER_BUILD
                                      : std::to_string(measure_fastest(libraries, name, repeats)))
                << std::endl;
    } catch (const std::exception& error) {
      std::cout << "error " << error.what() << std::endl;
    }
  }
}
