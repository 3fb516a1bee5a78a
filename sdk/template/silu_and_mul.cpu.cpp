// SPDX-License-Identifier: Apache-2.0
// SiluAndMul, y = silu(x[..., :d]) * x[..., d:], a row at a time on the host's threads.
//
// The layer's contract (arguments, shapes, reference) comes from layers/activation.hpp. What this kernel adds is what
// it can read: three dtypes, and rows that may lie anywhere as long as each is one run of memory. The host checks that
// before each call and runs its own forward where it does not hold, so nothing is checked here.
#include <layerhub/layers/activation.hpp>
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector_math.hpp>

namespace {

using namespace layerhub::sdk;

// Elements that are worth a second worker.
constexpr std::int64_t least_per_worker = 16384;

struct SiluAndMulByRow {
  static constexpr std::array constraints{dtype_in("x", f32, bf16, f16), last_dim_dense("x"), last_dim_dense("y")};

  static void forward(const lh_call& call) {
    visit_float(call.in[0]->dtype, [&]<class T>() { run<T>(call.host, *call.in[0], *call.out[0]); });
  }

 private:
  template <class T>
  static void run(const lh_host* host, const DLTensor& x, const DLTensor& y) {
    const std::int64_t width = last_dim(y);
    const std::int64_t least_rows = (least_per_worker + width) / (width + 1);
    parallel_ranges(host, row_count(y), least_rows, 1, [&](Range rows, std::uint32_t) {
      for (std::int64_t index = rows.begin; index < rows.end; ++index) {
        const T* gate = row<const T>(x, index);
        const T* up = gate + width;
        write(row<T>(y, index), width, false, [=](std::int64_t i, auto extent) {
          const Floats g = load(gate + i, extent);
          return times_sigmoid(g, g) * load(up + i, extent);
        });
      }
    });
  }
};

LAYERHUB_KERNEL(SiluAndMulByRow, layerhub::layers::SiluAndMul, "by-row");

}  // namespace
