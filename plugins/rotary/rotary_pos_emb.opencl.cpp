// SPDX-License-Identifier: Apache-2.0
// rotary_pos_emb on OpenCL: one work item turns one pair; q and k are two launches on one queue.
#include <layerhub/layers/rotary.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/opencl.hpp>
#include <layerhub/sdk/tensor.hpp>

namespace {

using namespace layerhub::sdk;

constexpr std::size_t group = 64;

// x, y: [tokens, heads, 2 * pairs]; cosines and sines: [tokens, angles], of which the first `pairs` count.
constexpr const char* source = R"cl(
__kernel void rotate_pairs(__global const X* x, long x0, __global X* y, long y0, __global const W* cosines, long c0,
                           __global const W* sines, long s0, long n, int heads, int pairs, int angles,
                           int interleaved) {
  const long i = get_global_id(0);
  if (i >= n) return;
  const long row = i / pairs, angle = row / heads * angles + i % pairs;
  const int pair = i % pairs;
  const long a = row * 2 * pairs + (interleaved ? 2 * pair : pair), b = a + (interleaved ? 1 : pairs);
  const float c = LOADW(cosines, c0 + angle), s = LOADW(sines, s0 + angle);
  const float va = LOADX(x, x0 + a), vb = LOADX(x, x0 + b);
  STOREX(y, y0 + a, va * c - vb * s);
  STOREX(y, y0 + b, vb * c + va * s);
}
)cl";

class Rotary {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{dtype_in("q", f32, bf16, f16), dtype_in("cos", f32, bf16, f16)};

  explicit Rotary(const CreateArgs& args) : programs_(source), interleaved_(args.flag("interleaved") ? 1 : 0) {}

  std::int32_t forward(const lh_call& call) const {
    if (last_dim(*call.in[2]) < last_dim(*call.in[0]) / 2) {
      throw Failure(LH_INVALID, "cos and sin have fewer angles than a head has pairs");
    }
    const opencl::Program& program = programs_.with(call.stream, {{"XTYPE", opencl::float_type(call.in[0]->dtype)},
                                                                  {"WTYPE", opencl::float_type(call.in[2]->dtype)}});
    rotate(program, call, *call.in[0], *call.out[0]);
    rotate(program, call, *call.in[1], *call.out[1]);
    return LH_OK;
  }

 private:
  void rotate(const opencl::Program& program, const lh_call& call, const DLTensor& x, const DLTensor& y) const {
    const std::int64_t n = element_count(x) / 2;
    opencl::Launch(program, "rotate_pairs")
        .tensor(x)
        .tensor(y)
        .tensor(*call.in[2])
        .tensor(*call.in[3])
        .value<cl_long>(n)
        .value(static_cast<cl_int>(x.shape[1]))
        .value(static_cast<cl_int>(last_dim(x) / 2))
        .value(static_cast<cl_int>(last_dim(*call.in[2])))
        .value<cl_int>(interleaved_)
        .run(call.stream, {opencl::groups_for(n, group), 1, 1}, {group, 1, 1});
  }

  opencl::Programs programs_;
  int interleaved_;
};

LAYERHUB_KERNEL_ON(kDLOpenCL, Rotary, layerhub::layers::RotaryPosEmb, "opencl");

}  // namespace
