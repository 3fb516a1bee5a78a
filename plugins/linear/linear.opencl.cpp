// SPDX-License-Identifier: Apache-2.0
// Linear on OpenCL, float and block-quantized weights in the host's own layout.
//
// A group of work items computes one output for a few rows of the input: the items share out the weight's row, which is
// read once for all of those rows, and add up in local memory. A decode step has one row and is bound by reading the
// weight; a prompt of many rows reads it once for every ROWS of them. Block formats are dequantized where they are
// read, so the activations stay as they are and the sums are those of the reference.
#include <layerhub/layers/linear.hpp>
#include <layerhub/sdk/formats.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/opencl.hpp>
#include <layerhub/sdk/tensor.hpp>

namespace {

using namespace layerhub::sdk;

constexpr std::size_t items = 32;
constexpr int rows_of_a_group = 8;

// ROWS: rows of a group. FORMAT: 0 for a float weight (WTYPE), else 40, 41, 80 for q4_0, q4_1, q8_0.
constexpr const char* source = R"cl(
#define ITEMS 32

#if FORMAT == 0
#define UNIT 1
typedef W weight_type;
inline void read_unit(__global const W* row, long unit, float* out) { out[0] = LOADW(row, unit); }
#else
#define UNIT 32
typedef uchar weight_type;
inline float half_at(__global const uchar* p) {
  const ushort bits = (ushort)(p[0] | p[1] << 8);
  return vload_half(0, (const half*)&bits);
}
#if FORMAT == 80
#define BYTES 34
inline void read_unit(__global const uchar* row, long unit, float* out) {
  __global const uchar* block = row + unit * BYTES;
  const float d = half_at(block);
  for (int i = 0; i < 32; ++i) out[i] = d * (char)block[2 + i];
}
#else
#define HEADER (FORMAT == 41 ? 4 : 2)
#define BYTES (HEADER + 16)
inline void read_unit(__global const uchar* row, long unit, float* out) {
  __global const uchar* block = row + unit * BYTES;
  const float d = half_at(block);
  const float m = FORMAT == 41 ? half_at(block + 2) : -8 * d;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * (block[HEADER + i] & 15) + m;
    out[i + 16] = d * (block[HEADER + i] >> 4) + m;
  }
}
#endif
#endif

// Where row r of a tensor of up to three dimensions begins: `inner` rows of pitch `pitch`, `outer` apart.
typedef struct {
  long pitch, outer;
  int inner;
} Rows;
inline long row_of(Rows rows, int r) { return r / rows.inner * rows.outer + r % rows.inner * rows.pitch; }

// x: [rows, k], weight: [n, row_elements of weight_type], y: [rows, n]
__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void linear(__global const X* x, long x0, __global const weight_type* weight, long w0, __global const float* bias,
            long b0, __global X* y, long y0, int rows, int n, int k, int row_elements, Rows x_rows, Rows y_rows) {
  __local float partial[ITEMS * ROWS];
  const int item = get_local_id(0), output = get_group_id(0), first = get_group_id(1) * ROWS;
  const int count = min(ROWS, rows - first);
  __global const weight_type* w = weight + w0 + (long)output * row_elements;
  float sums[ROWS] = {0};
  for (int unit = item; unit < k / UNIT; unit += ITEMS) {
    float values[UNIT];
    read_unit(w, unit, values);
    for (int r = 0; r < count; ++r) {
      const long at = x0 + row_of(x_rows, first + r) + (long)unit * UNIT;
      float sum = 0;
      for (int i = 0; i < UNIT; ++i) sum += values[i] * LOADX(x, at + i);
      sums[r] += sum;
    }
  }
  for (int r = 0; r < ROWS; ++r) partial[r * ITEMS + item] = sums[r];
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int r = item; r < count; r += ITEMS) {
    float sum = bias ? bias[b0 + output] : 0.0f;
    for (int i = 0; i < ITEMS; ++i) sum += partial[r * ITEMS + i];
    STOREX(y, y0 + row_of(y_rows, first + r) + output, sum);
  }
}
)cl";

class Linear {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{dtype_in("input", f32, f16, bf16),
                                          dtype_in("weight", f32, f16, bf16),
                                          dtype_in("bias", f32),
                                          rank("input", 1, 3),
                                          last_dim_dense("input"),
                                          last_dim_dense("output")};
  // Sums of K products in float: the error grows with the root of K.
  static constexpr std::array tolerances{Tolerance{f32, 1e-4, 1e-3, 1e-10}, Tolerance{bf16, 1e-2, 2e-1, 1e-4},
                                         Tolerance{f16, 2e-3, 5e-2, 1e-6}};

  explicit Linear(const CreateArgs& args)
      : programs_(source), format_(code_of(args.param_format("weight"))), columns_(args.param("weight")->shape[1]) {}

  void forward(const lh_call& call) const {
    const DLTensor &x = *call.in[0], &weight = *call.in[1], &y = *call.out[0];
    const std::int64_t rows = row_count(x);
    const int shared = rows == 1 ? 1 : rows_of_a_group;
    opencl::Launch(programs_.with(call.stream, {{"XTYPE", opencl::float_type(x.dtype)},
                                                {"WTYPE", opencl::float_type(weight.dtype)},
                                                {"FORMAT", format_},
                                                {"ROWS", shared}}),
                   "linear")
        .tensor(x)
        .tensor(weight)
        .optional_tensor(call.in[2])
        .tensor(y)
        .value(static_cast<cl_int>(rows))
        .value(static_cast<cl_int>(last_dim(y)))
        .value(static_cast<cl_int>(last_dim(x)))
        .value(static_cast<cl_int>(columns_))
        .value(rows_of(x))
        .value(rows_of(y))
        .run(call.stream,
             {static_cast<std::size_t>(last_dim(y)), opencl::groups_for(rows, static_cast<std::size_t>(shared)), 1},
             {items, 1, 1});
  }

 private:
  struct Rows {  // as the source has it
    cl_long pitch = 0, outer = 0;
    cl_int inner = 1;
  };
  static Rows rows_of(const DLTensor& x) {
    Rows rows;
    if (x.ndim > 1) {
      rows.inner = static_cast<cl_int>(std::max<std::int64_t>(x.shape[x.ndim - 2], 1));
      rows.pitch = x.strides[x.ndim - 2];
      rows.outer = x.ndim == 3 ? x.strides[0] : 0;
    }
    return rows;
  }
  static int code_of(std::string_view format) {
    return format == "gguf.q4_0" ? 40 : format == "gguf.q4_1" ? 41 : format == "gguf.q8_0" ? 80 : 0;
  }

  opencl::Programs programs_;
  int format_;            // as the source names it
  std::int64_t columns_;  // of the weight as it is stored: elements, or bytes
};

LAYERHUB_KERNEL_ON(kDLOpenCL, Linear, layerhub::layers::Linear, "opencl");

}  // namespace
