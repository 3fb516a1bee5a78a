// SPDX-License-Identifier: Apache-2.0
// Results too large for the cache are stored past it, by other instructions and from aligned addresses on. The cases of
// every_kernel_test are too small for that; here one large call must give the bits of many small ones.
#include "support/built_plugins.hpp"
#include "support/catch.hpp"
#include "support/dense_kernel.hpp"
#include "support/thread_host.hpp"

#include <layerhub/sdk/call.hpp>
#include <layerhub/sdk/dtype.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

namespace layerhub::testing {
namespace {

constexpr std::int64_t width = 4099;  // odd: each row begins at another offset from alignment
constexpr std::int64_t streamed_bytes = std::int64_t{33} << 20;

// Of the layers whose results kernels stream one of each form, and how many elements of x a row has for one of y.
const std::map<std::string_view, std::int64_t> streamed_layers{
    {"SiluAndMul", 2}, {"MulAndSilu", 2},      {"Gelu", 1},     {"ReLU", 1},
    {"RMSNorm", 1},    {"ResidualRMSNorm", 1}, {"LayerNorm", 1}};

using Bytes = std::vector<std::byte>;

// One NaN for all: which of two an operation gives is the compiler's choice of their order.
void unify_nan(DLDataType dtype, Bytes& bytes) {
  sdk::visit_float(dtype, [&]<class T>() {
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(T)) {
      T value;
      std::memcpy(&value, &bytes[i], sizeof value);
      if (std::isnan(sdk::to_float(value))) std::fill_n(&bytes[i], sizeof value, std::byte{0xff});
    }
  });
}

Bytes some_values(DLDataType dtype, std::int64_t count, std::int64_t first) {
  Bytes bytes;
  sdk::visit_float(dtype, [&]<class T>() {
    bytes.resize(static_cast<std::size_t>(count) * sizeof(T));
    for (std::int64_t i = 0; i < count; ++i) {
      const bool is_nan = (first + i) % 100003 == 0;
      const T value = sdk::from_float<T>(is_nan ? NAN : static_cast<float>((first + i) % 1009) / 100 - 5);
      std::memcpy(bytes.data() + static_cast<std::size_t>(i) * sizeof value, &value, sizeof value);
    }
  });
  return bytes;
}

// The outputs for all rows of the inputs, by calls of so many.
std::vector<Bytes> by_calls_of(std::int64_t rows_of_call, const DenseKernel& kernel, DLDataType dtype,
                               const std::vector<Bytes>& inputs, std::int64_t x_width, std::int64_t rows) {
  const std::int64_t element = dtype.bits / 8;
  std::vector<Bytes> outputs(kernel.outputs(), Bytes(static_cast<std::size_t>(rows * width * element)));
  for (std::int64_t first = 0; first < rows; first += rows_of_call) {
    std::vector<const void*> x;
    std::vector<void*> y;
    for (const Bytes& input : inputs) x.push_back(input.data() + first * x_width * element);
    for (Bytes& output : outputs) y.push_back(output.data() + first * width * element);
    kernel(std::min(rows_of_call, rows - first), x, y);
  }
  for (Bytes& output : outputs) unify_nan(dtype, output);
  return outputs;
}

TEST_CASE("a call too large for the cache gives the bits of many small ones") {
  ThreadHost::instance().set_width(3);
  for (const BuiltLibrary& library : open_built_plugins(LAYERHUB_PLUGIN_ROOT, kDLCPU)) {
    for (const lh_kernel* kernel : library.kernels) {
      const std::string_view layer = sdk::view(kernel->layer);
      if (!library.missing.empty() || !streamed_layers.contains(layer)) {
        continue;
      }
      for (const DLDataType dtype : {sdk::f32, sdk::bf16}) {
        INFO(library.name << ": " << layer << ", " << text_of(dtype));
        const std::int64_t x_width = width * streamed_layers.at(layer), rows = streamed_bytes * 8 / dtype.bits / width;
        const DenseKernel dense(*kernel, dtype, x_width, width);
        std::vector<Bytes> inputs;
        for (std::size_t i = 0; i < dense.inputs(); ++i) {
          inputs.push_back(some_values(dtype, rows * x_width, static_cast<std::int64_t>(i)));
        }
        const bool is_same = by_calls_of(rows, dense, dtype, inputs, x_width, rows) ==
                             by_calls_of(64, dense, dtype, inputs, x_width, rows);
        CHECK(is_same);  // what differs is not printed: 33 MiB
      }
    }
  }
}

}  // namespace
}  // namespace layerhub::testing
