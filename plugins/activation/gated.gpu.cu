// SPDX-License-Identifier: Apache-2.0
// The gated activations on CUDA and HIP: y = act(x[..., :d]) * x[..., d:], and MulAndSilu with the halves exchanged.
// One pass: a thread reads 16 bytes of each half and writes 16 bytes of y. Bound by memory, so that the launch has as
// many threads as there are such packs, and the arithmetic is float for every dtype.
#include <layerhub/layers/activation.hpp>
#include <layerhub/sdk/gpu.hpp>

namespace {

using namespace layerhub::sdk;

constexpr int threads = 256;

struct SiluOf {
  __device__ static float apply(float x) { return x / (1.f + expf(-x)); }
};
struct GeluOf {
  __device__ static float apply(float x) { return 0.5f * x * erfcf(-x * 0.70710678f); }
};
struct GeluTanhOf {
  // (1 + tanh(u)) / 2 = sigmoid(2 u): one exponential and no cancellation on the negative side.
  __device__ static float apply(float x) { return x / (1.f + expf(-1.59576912f * (x + 0.044715f * x * x * x))); }
};

// step: elements of a thread, 1 where rows do not take packs.
template <class Activation, int activated, int step, class T>
__global__ void gated(gpu::Rows<const T> x, gpu::Rows<T> y, std::int64_t rows, std::int64_t width) {
  const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t steps = width / step;
  if (item >= rows * steps) {
    return;
  }
  const std::int64_t row = item / steps;
  const std::int64_t column = item % steps * step;
  const T* from = x.at(row) + column;
  const T* gate = from + activated * width;
  const T* up = from + (1 - activated) * width;
  T* out = y.at(row) + column;
  const auto combine = [](T a, T b) { return gpu::narrow<T>(Activation::apply(gpu::widen(a)) * gpu::widen(b)); };
  if constexpr (step == 1) {
    *out = combine(*gate, *up);
  } else {
    const gpu::Pack<T> gates = gpu::load_pack(gate), ups = gpu::load_pack(up);
    gpu::Pack<T> results;
    for (int i = 0; i < step; ++i) {
      results[i] = combine(gates[i], ups[i]);
    }
    gpu::store_pack(out, results);
  }
}

// activated: which half of a row the activation is applied to, 0 or 1.
template <class Activation, int activated>
struct Gated {
  static constexpr std::uint32_t traits =
      LH_TRAIT_CAPTURE_SAFE | LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{dtype_in("x", f32, bf16, f16), last_dim_dense("x"), last_dim_dense("y")};

  static void forward(const lh_call& call) {
    visit_float(call.in[0]->dtype, [&]<class T>() { run<T>(call, *call.in[0], *call.out[0]); });
  }

 private:
  template <class T>
  static void run(const lh_call& call, const DLTensor& x, const DLTensor& y) {
    const auto from = gpu::rows_of<const T>(x);
    const auto to = gpu::rows_of<T>(y);
    const std::int64_t rows = row_count(y), width = last_dim(y);
    constexpr int step = gpu::vector_width<T>;
    const bool in_packs = from.takes_packs(width) && to.takes_packs(width);
    const auto kernel = in_packs ? gated<Activation, activated, step, T> : gated<Activation, activated, 1, T>;
    const std::int64_t items = rows * width / (in_packs ? step : 1);
    gpu::launch(call, kernel, gpu::blocks_for(items, threads), threads, 0, from, to, rows, width);
  }
};

using SiluAndMul = Gated<SiluOf, 0>;
using GeluAndMul = Gated<GeluOf, 0>;
using GeluTanhAndMul = Gated<GeluTanhOf, 0>;
using MulAndSilu = Gated<SiluOf, 1>;

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, SiluAndMul, layerhub::layers::SiluAndMul, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, GeluAndMul, layerhub::layers::GeluAndMul, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, GeluTanhAndMul, layerhub::layers::GeluTanhAndMul, "gpu");
LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, MulAndSilu, layerhub::layers::MulAndSilu, "gpu");

}  // namespace
