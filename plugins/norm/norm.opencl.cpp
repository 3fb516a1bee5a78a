// SPDX-License-Identifier: Apache-2.0
// RMSNorm, ResidualRMSNorm and LayerNorm on OpenCL: a group of work items for each row, which adds up in a tree of
// local memory. The row is read once from memory, and again from the cache to be scaled.
#include <layerhub/layers/norm.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/opencl.hpp>
#include <layerhub/sdk/tensor.hpp>

namespace {

using namespace layerhub::sdk;

constexpr std::size_t group = 64;

constexpr const char* source = R"cl(
#define ITEMS 64

float sum_of_group(float value, __local float* partial) {
  const int item = get_local_id(0);
  barrier(CLK_LOCAL_MEM_FENCE);  // the sum before this one has been read
  partial[item] = value;
  for (int half_of = ITEMS / 2; half_of > 0; half_of /= 2) {
    barrier(CLK_LOCAL_MEM_FENCE);
    if (item < half_of) partial[item] += partial[item + half_of];
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  return partial[0];
}

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void rms_norm(__global const X* x, long x0, __global const W* w, long w0, __global X* y, long y0, int width,
              float epsilon) {
  __local float partial[ITEMS];
  const long row = (long)get_group_id(0) * width;
  float squares = 0;
  for (int i = get_local_id(0); i < width; i += ITEMS) {
    const float v = LOADX(x, x0 + row + i);
    squares += v * v;
  }
  const float scale = 1.0f / sqrt(sum_of_group(squares, partial) / width + epsilon);
  for (int i = get_local_id(0); i < width; i += ITEMS) {
    STOREX(y, y0 + row + i, LOADX(x, x0 + row + i) * scale * LOADW(w, w0 + i));
  }
}

// The sum is computed twice: the second time where its element is also written, which may be the residual's own place.
__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void residual_rms_norm(__global const X* x, long x0, __global const X* residual, long r0, __global const W* w, long w0,
                       __global X* y, long y0, __global X* total, long t0, int width, float epsilon) {
  __local float partial[ITEMS];
  const long row = (long)get_group_id(0) * width;
  float squares = 0;
  for (int i = get_local_id(0); i < width; i += ITEMS) {
    const float v = LOADX(x, x0 + row + i) + LOADX(residual, r0 + row + i);
    squares += v * v;
  }
  const float scale = 1.0f / sqrt(sum_of_group(squares, partial) / width + epsilon);
  for (int i = get_local_id(0); i < width; i += ITEMS) {
    const float v = LOADX(x, x0 + row + i) + LOADX(residual, r0 + row + i);
    STOREX(total, t0 + row + i, v);
    STOREX(y, y0 + row + i, v * scale * LOADW(w, w0 + i));
  }
}

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void layer_norm(__global const X* x, long x0, __global const W* w, long w0, __global const W* bias, long b0,
                __global X* y, long y0, int width, float epsilon) {
  __local float partial[ITEMS];
  const long row = (long)get_group_id(0) * width;
  float sum = 0, squares = 0;
  for (int i = get_local_id(0); i < width; i += ITEMS) sum += LOADX(x, x0 + row + i);
  const float mean = sum_of_group(sum, partial) / width;
  for (int i = get_local_id(0); i < width; i += ITEMS) {
    const float v = LOADX(x, x0 + row + i) - mean;
    squares += v * v;
  }
  const float scale = 1.0f / sqrt(sum_of_group(squares, partial) / width + epsilon);
  for (int i = get_local_id(0); i < width; i += ITEMS) {
    const float v = (LOADX(x, x0 + row + i) - mean) * scale * LOADW(w, w0 + i);
    STOREX(y, y0 + row + i, bias ? v + LOADW(bias, b0 + i) : v);
  }
}
)cl";

// What the kernels share: one group for each row. Constraints, the kernel's name and its tensors are each layer's own.
class Norm {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{dtype_in("hidden_states", f32, bf16, f16),
                                          dtype_in("weight", f32, bf16, f16)};
  // Sums of a row in float, in another order than the reference's.
  static constexpr std::array tolerances{Tolerance{f32, 2e-5, 1e-5}, Tolerance{bf16, 8e-3, 1e-3},
                                         Tolerance{f16, 1e-3, 1e-4}};

 protected:
  explicit Norm(const CreateArgs& args)
      : programs_(source), epsilon_(static_cast<float>(args.real("variance_epsilon"))) {}

  // tensors(launch) gives the kernel its tensors, in its order.
  template <class Tensors>
  void launch(const lh_call& call, const char* kernel, const DLTensor& weight, Tensors&& tensors) const {
    const DLTensor& x = *call.in[0];
    opencl::Launch launch(programs_.with(call.stream, {{"XTYPE", opencl::float_type(x.dtype)},
                                                       {"WTYPE", opencl::float_type(weight.dtype)}}),
                          kernel);
    tensors(launch);
    launch.value(static_cast<cl_int>(last_dim(x))).value(epsilon_);
    launch.run(call.stream, {static_cast<std::size_t>(row_count(x)), 1, 1}, {group, 1, 1});
  }

 private:
  opencl::Programs programs_;
  float epsilon_;
};

struct RmsNorm : Norm {
  explicit RmsNorm(const CreateArgs& args) : Norm(args) {}
  void forward(const lh_call& call) const {
    launch(call, "rms_norm", *call.in[1], [&](opencl::Launch& launch) {
      launch.tensor(*call.in[0]).tensor(*call.in[1]).tensor(*call.out[0]);
    });
  }
};

struct ResidualRmsNorm : Norm {
  explicit ResidualRmsNorm(const CreateArgs& args) : Norm(args) {}
  void forward(const lh_call& call) const {
    launch(call, "residual_rms_norm", *call.in[2], [&](opencl::Launch& launch) {
      launch.tensor(*call.in[0]).tensor(*call.in[1]).tensor(*call.in[2]).tensor(*call.out[0]).tensor(*call.out[1]);
    });
  }
};

struct LayerNorm : Norm {
  explicit LayerNorm(const CreateArgs& args) : Norm(args) {}
  void forward(const lh_call& call) const {
    launch(call, "layer_norm", *call.in[1], [&](opencl::Launch& launch) {
      launch.tensor(*call.in[0]).tensor(*call.in[1]).optional_tensor(call.in[2]).tensor(*call.out[0]);
    });
  }
};

LAYERHUB_KERNEL_ON(kDLOpenCL, RmsNorm, layerhub::layers::RMSNorm, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, ResidualRmsNorm, layerhub::layers::ResidualRMSNorm, "opencl");
LAYERHUB_KERNEL_ON(kDLOpenCL, LayerNorm, layerhub::layers::LayerNorm, "opencl");

}  // namespace
