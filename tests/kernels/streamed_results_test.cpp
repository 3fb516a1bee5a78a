// SPDX-License-Identifier: Apache-2.0
// Results too large for the cache are stored past it, by other instructions and from aligned addresses on. The cases of
// every_kernel_test are too small for that; here one large call must give the bits of many small ones.
#include "support/built_plugins.hpp"
#include "support/catch.hpp"
#include "support/thread_host.hpp"

#include <layerhub/sdk/call.hpp>
#include <layerhub/sdk/dtype.hpp>

#include <algorithm>
#include <cstring>

namespace layerhub::testing {
namespace {

constexpr std::int64_t width = 4099;  // odd: each row begins at another offset from alignment

// x -> y for `rows` rows of a dense float32 or bfloat16 tensor.
void call(const lh_kernel& kernel, DLDataType dtype, std::int64_t rows, std::int64_t x_width, const std::byte* x,
          std::byte* y) {
  std::int64_t x_shape[] = {rows, x_width}, x_strides[] = {x_width, 1};
  std::int64_t y_shape[] = {rows, width}, y_strides[] = {width, 1};
  DLTensor from{const_cast<std::byte*>(x), {kDLCPU, 0}, 2, dtype, x_shape, x_strides, 0};
  DLTensor to{y, {kDLCPU, 0}, 2, dtype, y_shape, y_strides, 0};
  const DLTensor* in[] = {&from};
  DLTensor* out[] = {&to};
  lh_call call{};
  call.struct_size = sizeof call;
  call.host = ThreadHost::instance().host();
  call.in = in;
  call.out = out;
  call.n_in = call.n_out = 1;
  REQUIRE(kernel.forward(nullptr, &call, nullptr) == LH_OK);
}

std::vector<std::byte> some_values(DLDataType dtype, std::int64_t count) {
  std::vector<std::byte> bytes;
  sdk::visit_float(dtype, [&]<class T>() {
    bytes.resize(static_cast<std::size_t>(count) * sizeof(T));
    for (std::int64_t i = 0; i < count; ++i) {
      const T value = sdk::from_float<T>(static_cast<float>(i % 1009) / 100 - 5);
      std::memcpy(bytes.data() + static_cast<std::size_t>(i) * sizeof value, &value, sizeof value);
    }
  });
  return bytes;
}

void check_large_call(const lh_kernel& kernel, DLDataType dtype, std::int64_t x_width) {
  const std::int64_t element = dtype.bits / 8;
  const std::int64_t rows = (std::int64_t{33} << 20) / element / width;
  const std::vector<std::byte> x = some_values(dtype, rows * x_width);
  std::vector<std::byte> at_once(static_cast<std::size_t>(rows * width * element));
  std::vector<std::byte> by_rows(at_once.size());
  ThreadHost::instance().set_width(3);
  call(kernel, dtype, rows, x_width, x.data(), at_once.data());
  constexpr std::int64_t few = 64;
  for (std::int64_t row = 0; row < rows; row += few) {
    call(kernel, dtype, std::min(few, rows - row), x_width, x.data() + row * x_width * element,
         by_rows.data() + row * width * element);
  }
  CHECK(std::memcmp(at_once.data(), by_rows.data(), at_once.size()) == 0);
}

TEST_CASE("a call too large for the cache gives the bits of many small ones") {
  for (const BuiltLibrary& library : open_built_plugins(LAYERHUB_PLUGIN_ROOT)) {
    for (const lh_kernel* kernel : library.kernels) {
      const std::string_view layer = sdk::view(kernel->layer);
      const bool runs_here = library.missing.empty() && kernel->device_type == kDLCPU;
      if (runs_here && (layer == "SiluAndMul" || layer == "Silu")) {
        INFO(library.name << ": " << layer);
        for (const DLDataType dtype : {sdk::f32, sdk::bf16}) {
          check_large_call(*kernel, dtype, layer == "Silu" ? width : 2 * width);
        }
      }
    }
  }
}

}  // namespace
}  // namespace layerhub::testing
