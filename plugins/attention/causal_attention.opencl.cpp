// SPDX-License-Identifier: Apache-2.0
// CausalAttention on OpenCL, with an online softmax: nothing of the size of the score matrix is ever kept.
//
// A group of work items serves one token and up to eight query heads that share a key head, so that each row of the
// caches is read once for all of them. It walks over the positions in tiles of as many as it has items: each item takes
// one position and gives its scores, the group finds the largest and the sum, and then each item adds up some of the
// output's columns over the tile. The new rows of k and v go into the caches first, by a launch before on the queue.
#include <layerhub/layers/attention.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/opencl.hpp>
#include <layerhub/sdk/tensor.hpp>

#include <bit>

namespace {

using namespace layerhub::sdk;

constexpr std::int64_t items = 64;
constexpr std::int64_t max_heads = 8;  // of a group

// COLUMNS: of an item, as many as a head is wide at most. HEADS: of a group. X: q, k, v and output; W: the caches.
constexpr const char* source = R"cl(
#define ITEMS 64

__kernel void append(__global const X* x, long x0, __global W* cache, long c0, long n, long at) {
  const long i = get_global_id(0);
  if (i < n) STOREW(cache, c0 + at + i, LOADX(x, x0 + i));
}

// q, y: [tokens, q_heads, width]; caches: [capacity, kv_heads, width]; shared: query heads of a key head.
__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void attend(__global const X* q, long q0, __global const W* keys, long k0, __global const W* values, long v0,
            __global X* y, long y0, int q_heads, int kv_heads, int shared, int width, int before, float scale) {
  __local float queries[HEADS * COLUMNS * ITEMS], scores[HEADS * ITEMS], tops[HEADS], factors[HEADS], totals[HEADS];
  const int item = get_local_id(0), token = get_group_id(0), kv_head = get_group_id(1);
  const int first = kv_head * shared + get_group_id(2) * HEADS;
  const int heads = min(HEADS, (kv_head + 1) * shared - first);
  const int positions = before + token + 1;
  const long rows = ((long)token * q_heads + first) * width;
  for (int i = item; i < heads * width; i += ITEMS) queries[i] = LOADX(q, q0 + rows + i) * scale;
  if (item < HEADS) {
    tops[item] = -INFINITY;
    totals[item] = 0;
  }
  float sums[HEADS][COLUMNS];
  for (int h = 0; h < HEADS; ++h)
    for (int c = 0; c < COLUMNS; ++c) sums[h][c] = 0;
  barrier(CLK_LOCAL_MEM_FENCE);

  for (int begin = 0; begin < positions; begin += ITEMS) {
    const int count = min(ITEMS, positions - begin);
    if (item < count) {
      const long row = k0 + ((long)(begin + item) * kv_heads + kv_head) * width;
      float dots[HEADS];
      for (int h = 0; h < HEADS; ++h) dots[h] = 0;
      for (int i = 0; i < width; ++i) {
        const float key = LOADW(keys, row + i);
        for (int h = 0; h < heads; ++h) dots[h] += key * queries[h * width + i];
      }
      for (int h = 0; h < heads; ++h) scores[h * ITEMS + item] = dots[h];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (item < heads) {
      float top = tops[item];
      for (int p = 0; p < count; ++p) top = fmax(top, scores[item * ITEMS + p]);
      factors[item] = exp(tops[item] - top);
      float total = totals[item] * factors[item];
      for (int p = 0; p < count; ++p) {
        const float weight = exp(scores[item * ITEMS + p] - top);
        scores[item * ITEMS + p] = weight;
        total += weight;
      }
      tops[item] = top;
      totals[item] = total;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int c = 0; c < COLUMNS; ++c) {
      const int column = c * ITEMS + item;
      if (column < width) {
        for (int h = 0; h < heads; ++h) sums[h][c] *= factors[h];
        for (int p = 0; p < count; ++p) {
          const float value = LOADW(values, v0 + ((long)(begin + p) * kv_heads + kv_head) * width + column);
          for (int h = 0; h < heads; ++h) sums[h][c] += scores[h * ITEMS + p] * value;
        }
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  for (int c = 0; c < COLUMNS; ++c) {
    const int column = c * ITEMS + item;
    if (column < width) {
      for (int h = 0; h < heads; ++h) STOREX(y, y0 + rows + h * width + column, sums[h][c] / totals[h]);
    }
  }
}
)cl";

class Attention {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{dtype_in("q", f32, f16, bf16), dtype_in("k_cache", f32, f16, bf16),
                                          dim_range("q", 2, 1, 256)};
  // A cache of shorter numbers than q rounds what it is given: half a step of a bf16 is 1/256 of the value.
  static constexpr std::array tolerances{Tolerance{f32, 2e-2, 4e-3, 1e-5}, Tolerance{bf16, 3e-2, 3e-2, 1e-4},
                                         Tolerance{f16, 2e-2, 8e-3, 1e-5}};

  explicit Attention(const CreateArgs&) : programs_(source) {}

  std::int32_t forward(const lh_call& call) const {
    const DLTensor &q = *call.in[0], &k = *call.in[1], &y = *call.out[0], &k_cache = *call.out[1];
    const std::int64_t tokens = q.shape[0], q_heads = q.shape[1], width = q.shape[2], kv_heads = k.shape[1];
    const std::int64_t before = call.scalars[0].i;
    if (kv_heads == 0 || q_heads % kv_heads != 0) {
      throw Failure(LH_INVALID, "the query heads are no multiple of the key heads");
    }
    if (before < 0 || before + tokens > k_cache.shape[0]) {
      throw Failure(LH_INVALID, "the caches hold " + std::to_string(k_cache.shape[0]) + " positions, " +
                                    std::to_string(before + tokens) + " are asked for");
    }
    // Powers of two: each pair of them is a program.
    const auto power = [](std::int64_t least) { return std::bit_ceil(static_cast<std::uint64_t>(least)); };
    const std::int64_t shared = q_heads / kv_heads;
    const std::uint64_t heads = power(std::min(shared, max_heads)), columns = power((width + items - 1) / items);
    const opencl::Program& program = programs_.with(call.stream, {{"XTYPE", opencl::float_type(q.dtype)},
                                                                  {"WTYPE", opencl::float_type(k_cache.dtype)},
                                                                  {"COLUMNS", static_cast<int>(columns)},
                                                                  {"HEADS", static_cast<int>(heads)}});
    append(program, call, k, k_cache, before);
    append(program, call, *call.in[2], *call.out[2], before);
    opencl::Launch(program, "attend")
        .tensor(q)
        .tensor(k_cache)
        .tensor(*call.out[2])
        .tensor(y)
        .value(static_cast<cl_int>(q_heads))
        .value(static_cast<cl_int>(kv_heads))
        .value(static_cast<cl_int>(shared))
        .value(static_cast<cl_int>(width))
        .value(static_cast<cl_int>(before))
        .value(static_cast<float>(call.scalars[1].f))
        .run(call.stream,
             {static_cast<std::size_t>(tokens), static_cast<std::size_t>(kv_heads), opencl::groups_for(shared, heads)},
             {items, 1, 1});
    return LH_OK;
  }

 private:
  static void append(const opencl::Program& program, const lh_call& call, const DLTensor& x, const DLTensor& cache,
                     std::int64_t before) {
    const std::int64_t n = element_count(x);
    opencl::Launch(program, "append")
        .tensor(x)
        .tensor(cache)
        .value<cl_long>(n)
        .value<cl_long>(before * x.shape[1] * x.shape[2])
        .run(call.stream, {opencl::groups_for(n, items), 1, 1}, {items, 1, 1});
  }

  opencl::Programs programs_;
};

LAYERHUB_KERNEL_ON(kDLOpenCL, Attention, layerhub::layers::CausalAttention, "opencl");

}  // namespace
