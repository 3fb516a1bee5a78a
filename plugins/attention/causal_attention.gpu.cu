// SPDX-License-Identifier: Apache-2.0
// CausalAttention on CUDA and HIP: for few query rows by reading the caches once (decode), for many in tiles (prefill).
//
// A step of one token takes two launches: the attention, which appends to the caches on its way, and the merging of its
// splits. The splits follow from the shapes, kv_length and the device alone, so that the bits of a result do too.
#include "decode.gpu.inl.hpp"
#include "prefill.gpu.inl.hpp"

#include <layerhub/layers/attention.hpp>
#include <layerhub/sdk/gpu.hpp>

#include <string>

namespace {

using namespace layerhub::sdk;
namespace attention = layerhub::attention;

// Query rows of a key head: up to here a call is a decode.
constexpr std::int64_t most_rows_of_decode = 16;
constexpr int few_rows = 4, many_rows = 8;  // of a block of it

class CausalAttentionKernel {
 public:
  static constexpr std::uint32_t traits = LH_TRAIT_CAPTURE_SAFE | LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC;
  static constexpr std::array constraints{dtype_in("q", f32, bf16, f16),
                                          dtype_in("k_cache", f32, f16, bf16),
                                          last_dim_dense("q"),
                                          last_dim_dense("k"),
                                          last_dim_dense("v"),
                                          last_dim_dense("output"),
                                          dim_range("q", 2, 1, attention::max_width),
                                          dim_range("q", 1, 1, 4096)};
  // A cache of shorter numbers than q rounds what it is given: half a step of a bf16 is 1/256 of the value.
  static constexpr std::array tolerances{Tolerance{f32, 2e-2, 4e-3, 1e-5}, Tolerance{bf16, 3e-2, 3e-2, 1e-4},
                                         Tolerance{f16, 2e-2, 8e-3, 1e-5}};

  explicit CausalAttentionKernel(const CreateArgs& args)
      : multiprocessors_(gpu::multiprocessors(args.device()->device.device_id)) {}

  void infer(InferCall& call) const {
    const Sizes sizes{call.in[0].dim[0], call.in[0].dim[1], call.in[1].dim[1], call.in[0].dim[2]};
    if (sizes.kv_heads == 0 || sizes.rows_of_key() == 0) {
      return;  // nothing to do, or forward says what is wrong
    }
    const std::int64_t splits = splits_of(sizes, call.in[3].dim[0]);
    const std::int64_t floats = splits == 1 ? 0 : splits * sizes.tokens * sizes.heads * (sizes.width + 2);
    call.forward_workspace = static_cast<std::size_t>(floats) * sizeof(float);
  }

  void forward(const lh_call& call) const {
    const DLTensor &q = *call.in[0], &k = *call.in[1];
    const Sizes sizes{q.shape[0], q.shape[1], k.shape[1], q.shape[2]};
    check(sizes, call.scalars[0].i, call.out[1]->shape[0]);
    if (sizes.tokens != 0) {
      visit_float(call.out[1]->dtype, [&]<class T>() { run(call, sizes, problem_of<T>(call, sizes)); });
    }
  }

 private:
  struct Sizes {
    std::int64_t tokens, heads, kv_heads, width;

    std::int64_t rows_of_key() const { return tokens * (heads / kv_heads); }
    bool is_decode() const { return rows_of_key() <= most_rows_of_decode; }
    std::int64_t rows_of_block() const {
      return !is_decode() ? attention::prefill::tile_rows : rows_of_key() <= few_rows ? few_rows : many_rows;
    }
    std::int64_t blocks() const { return (rows_of_key() + rows_of_block() - 1) / rows_of_block() * kv_heads; }
    int step() const {
      return is_decode() ? attention::decode::step_for(static_cast<int>(width)) : attention::prefill::step_positions;
    }
    int blocks_at_once() const {
      return is_decode() ? attention::decode::blocks_at_once(static_cast<int>(rows_of_block()))
                         : attention::prefill::blocks_at_once;
    }
  };

  static void check(const Sizes& sizes, std::int64_t before, std::int64_t capacity) {
    if (sizes.kv_heads == 0 || sizes.heads % sizes.kv_heads != 0) {
      throw Failure(LH_INVALID, std::to_string(sizes.heads) + " query heads are no multiple of " +
                                    std::to_string(sizes.kv_heads) + " key heads");
    }
    if (before < 0 || before > capacity || sizes.tokens > capacity - before) {
      throw Failure(LH_INVALID, "the cache holds " + std::to_string(capacity) + " positions; " +
                                    std::to_string(before) + " are used and " + std::to_string(sizes.tokens) +
                                    " more do not fit");
    }
  }

  // Grows with the positions: what infer asks for at the cache's end does for every kv_length.
  int splits_of(const Sizes& sizes, std::int64_t positions) const {
    return attention::splits_for(positions, sizes.blocks(), sizes.step(), sizes.blocks_at_once() * multiprocessors_);
  }

  template <class T>
  attention::Problem<T> problem_of(const lh_call& call, const Sizes& sizes) const {
    const DLTensor &k_cache = *call.out[1], &v_cache = *call.out[2];
    attention::Problem<T> problem{};
    problem.q = gpu::float_rows_of(*call.in[0]);
    problem.k = gpu::float_rows_of(*call.in[1]);
    problem.v = gpu::float_rows_of(*call.in[2]);
    problem.output = gpu::float_rows_of(*call.out[0]);
    problem.k_cache = data<T>(k_cache);
    problem.v_cache = data<T>(v_cache);
    problem.tokens = static_cast<int>(sizes.tokens);
    problem.heads = static_cast<int>(sizes.heads);
    problem.kv_heads = static_cast<int>(sizes.kv_heads);
    problem.width = static_cast<int>(sizes.width);
    problem.before = static_cast<int>(call.scalars[0].i);
    problem.scale = static_cast<float>(call.scalars[1].f);
    problem.is_aligned =
        gpu::rows_of<T>(k_cache).takes_packs(sizes.width) && gpu::rows_of<T>(v_cache).takes_packs(sizes.width);
    const int positions = problem.before + problem.tokens;
    problem.splits = splits_of(sizes, positions);
    const int whole = sizes.is_decode() ? 1 : sizes.step();  // a decode only loads what is there of a step
    problem.positions_of_split = (positions + problem.splits * whole - 1) / (problem.splits * whole) * whole;
    problem.partial_sums = static_cast<float*>(call.workspace);
    problem.partial_statistics = problem.partial_sums + problem.splits * sizes.tokens * sizes.heads * sizes.width;
    return problem;
  }

  template <class T>
  static void run(const lh_call& call, const Sizes& sizes, const attention::Problem<T>& problem) {
    const bool appends_too = sizes.is_decode() && sizes.rows_of_key() <= sizes.rows_of_block();
    if (!appends_too) {
      const std::int64_t eights = sizes.tokens * sizes.kv_heads * ((sizes.width + 7) / 8);
      gpu::launch(call, attention::append<T>, gpu::blocks_for(eights, attention::append_threads),
                  attention::append_threads, 0, problem);
    }
    if (!sizes.is_decode()) {
      attention::prefill::run(call, problem);
    } else if (sizes.rows_of_block() == few_rows) {
      attention::decode::run<T, few_rows>(call, problem, appends_too);
    } else {
      attention::decode::run<T, many_rows>(call, problem, appends_too);
    }
    if (problem.splits > 1) {
      gpu::launch(call, attention::merge<T>, static_cast<unsigned>(sizes.tokens * sizes.heads),
                  attention::merge_threads, 0, problem);
    }
  }

  int multiprocessors_;
};

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, CausalAttentionKernel, layerhub::layers::CausalAttention, "split-kv");

}  // namespace
