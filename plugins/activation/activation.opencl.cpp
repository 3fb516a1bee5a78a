// SPDX-License-Identifier: Apache-2.0
// Activations on OpenCL: one work item for each element of y, float arithmetic for every dtype. Bound by memory, so
// neighbouring items read neighbouring elements; the driver's compiler makes vectors of them on a CPU.
#include <layerhub/layers/activation.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/opencl.hpp>
#include <layerhub/sdk/tensor.hpp>

namespace {

using namespace layerhub::sdk;

constexpr const char* source = R"cl(
float sigmoid(float x) { return 1.0f / (1.0f + exp(-x)); }
float silu(float x) { return x * sigmoid(x); }
float gelu(float x) { return 0.5f * x * erfc(-x * 0.70710678f); }
// (1 + tanh(u)) / 2 = sigmoid(2 u): one exponential, and no cancellation on the negative side
float gelu_tanh(float x) { return x * sigmoid(1.59576912f * (x + 0.044715f * x * x * x)); }
float fast_gelu(float x) { return x * sigmoid(1.59576912f * x * (1.0f + 0.044715f * x * x)); }
float quick_gelu(float x) { return x * sigmoid(1.702f * x); }
float relu(float x) { return x <= 0.0f ? 0.0f : x; }

__kernel void unary(__global const X* x, long x0, __global X* y, long y0, long n) {
  const long i = get_global_id(0);
  if (i < n) STOREX(y, y0 + i, ACTIVATION(LOADX(x, x0 + i)));
}

// A row of x is two halves of `width`; the activation is of half ACTIVATED.
__kernel void gated(__global const X* x, long x0, __global X* y, long y0, long n, int width) {
  const long i = get_global_id(0);
  if (i >= n) return;
  const long first = x0 + i / width * 2 * width + i % width;
  const float a = LOADX(x, first), b = LOADX(x, first + width);
  STOREX(y, y0 + i, ACTIVATED == 0 ? ACTIVATION(a) * b : a * ACTIVATION(b));
}
)cl";

constexpr std::size_t group = 64;

enum class Form { unary, gated_first, gated_second };

template <const char* activation, Form form>
class Activation {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{dtype_in("x", f32, f16, bf16)};

  explicit Activation(const CreateArgs&)
      : programs_(source, std::string("-DACTIVATION=") + activation +
                              (form == Form::gated_second ? " -DACTIVATED=1" : " -DACTIVATED=0")) {}

  void forward(const lh_call& call) const {
    const DLTensor &x = *call.in[0], &y = *call.out[0];
    const std::int64_t n = element_count(y);
    opencl::Launch launch(programs_.with(call.stream, {{"XTYPE", opencl::float_type(y.dtype)}}),
                          form == Form::unary ? "unary" : "gated");
    launch.tensor(x).tensor(y).value<cl_long>(n);
    if (form != Form::unary) {
      launch.value(static_cast<cl_int>(last_dim(y)));
    }
    launch.run(call.stream, {opencl::groups_for(n, group), 1, 1}, {group, 1, 1});
  }

 private:
  opencl::Programs programs_;
};

constexpr char silu[] = "silu", gelu[] = "gelu", gelu_tanh[] = "gelu_tanh", fast_gelu[] = "fast_gelu",
               quick_gelu[] = "quick_gelu", relu[] = "relu";

using Silu = Activation<silu, Form::unary>;
using Gelu = Activation<gelu, Form::unary>;
using GeluTanh = Activation<gelu_tanh, Form::unary>;
using NewGelu = GeluTanh;  // its constant agrees to more digits than a float has
using FastGelu = Activation<fast_gelu, Form::unary>;
using QuickGelu = Activation<quick_gelu, Form::unary>;
using Relu = Activation<relu, Form::unary>;
using SiluAndMul = Activation<silu, Form::gated_first>;
using GeluAndMul = Activation<gelu, Form::gated_first>;
using GeluTanhAndMul = Activation<gelu_tanh, Form::gated_first>;
using MulAndSilu = Activation<silu, Form::gated_second>;

LAYERHUB_KERNEL_ON(kDLOpenCL, Silu, layerhub::layers::Silu, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, Gelu, layerhub::layers::Gelu, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, GeluTanh, layerhub::layers::GeluTanh, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, NewGelu, layerhub::layers::NewGELU, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, FastGelu, layerhub::layers::FastGELU, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, QuickGelu, layerhub::layers::QuickGELU, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, Relu, layerhub::layers::ReLU, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, SiluAndMul, layerhub::layers::SiluAndMul, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, GeluAndMul, layerhub::layers::GeluAndMul, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, GeluTanhAndMul, layerhub::layers::GeluTanhAndMul, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, MulAndSilu, layerhub::layers::MulAndSilu, "opencl");

}  // namespace
