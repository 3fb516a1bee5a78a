// SPDX-License-Identifier: Apache-2.0
// rotary_pos_emb on CUDA and HIP: q and k in one launch, one read and one write for each element.
//
// A thread turns the same pairs of up to four heads of a token, whose cos and sin it reads once; heads of q and of k
// stand in one row for it. An item is as many pairs of a head as a pack has elements: two packs, side by side where
// pairs are (2i, 2i + 1), half a head apart where they are (i, i + D/2). Where packs would not be aligned, an item is
// one pair.
#include <layerhub/layers/rotary.hpp>
#include <layerhub/sdk/gpu.hpp>

#include <algorithm>

namespace {

using namespace layerhub::sdk;

constexpr int threads = 256;
constexpr int most_heads = 4;  // of a thread

// Heads of one input and its output: [tokens, heads, 2 * pairs], with dense heads.
template <class T>
struct Heads {
  const T* from;
  T* to;
  std::int64_t from_token, from_head, to_token, to_head;  // strides
  int count;

  explicit Heads(const DLTensor& x, const DLTensor& y)
      : from(data<const T>(x)),
        to(data<T>(y)),
        from_token(x.strides[0]),
        from_head(x.strides[1]),
        to_token(y.strides[0]),
        to_head(y.strides[1]),
        count(static_cast<int>(x.shape[1])) {}

  bool takes_packs() const {
    constexpr int step = gpu::vector_width<T>;
    return (reinterpret_cast<std::uintptr_t>(from) | reinterpret_cast<std::uintptr_t>(to)) % 16 == 0 &&
           from_token % step == 0 && from_head % step == 0 && to_token % step == 0 && to_head % step == 0;
  }
};

struct Angles {
  gpu::AnyFloats cos, sin;
  std::int64_t cos_token, sin_token;  // strides

  // step: elements of a pack.
  bool takes_packs(int step) const {
    return cos.takes_packs() && sin.takes_packs() && cos_token % step == 0 && sin_token % step == 0;
  }
};

template <class T>
struct Operands {
  Heads<T> of[2];  // q, k
  Angles angles;
  std::int64_t items = 0;  // of threads: tokens, then groups of heads, then items of a head
  gpu::Divisor items_of_head{}, groups_of_token{};
  int groups = 0, pairs = 0;
  bool interleaved = false;
};

template <class T>
__device__ void turn_pair(T& a, T& b, float cos, float sin) {
  const float x = gpu::widen(a), y = gpu::widen(b);
  a = gpu::narrow<T>(x * cos - y * sin);
  b = gpu::narrow<T>(y * cos + x * sin);
}

// step: pairs of an item.
template <class T, int step>
__global__ void __launch_bounds__(threads) turn(Operands<T> o) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (index >= o.items) {
    return;
  }
  const auto [above, item] = o.items_of_head.divide(index);
  const auto [token, group] = o.groups_of_token.divide(above);
  const std::int64_t pair = item * step;
  // Where the item's first and second pack begin in a head.
  const std::int64_t first = o.interleaved ? 2 * pair : pair, second = o.interleaved ? first + step : first + o.pairs;
  float cos[step], sin[step];
  o.angles.cos.load(token * o.angles.cos_token + pair, cos);
  o.angles.sin.load(token * o.angles.sin_token + pair, sin);

  gpu::Pack<T, step> low[most_heads], high[most_heads];
  T* to[most_heads];
#pragma unroll
  for (int h = 0; h < most_heads; ++h) {
    int head = static_cast<int>(group) + h * o.groups;
    const int is_k = head >= o.of[0].count;
    head -= is_k * o.of[0].count;
    to[h] = nullptr;
    if (head < o.of[is_k].count) {
      const T* from = o.of[is_k].from + token * o.of[is_k].from_token + head * o.of[is_k].from_head;
      to[h] = o.of[is_k].to + token * o.of[is_k].to_token + head * o.of[is_k].to_head;
      low[h] = gpu::load_pack<step>(from + first);
      high[h] = gpu::load_pack<step>(from + second);
    }
  }
#pragma unroll
  for (int h = 0; h < most_heads; ++h) {
    if (to[h] == nullptr) {
      continue;
    }
    if (o.interleaved) {
#pragma unroll
      for (int i = 0; i < step; ++i) {  // pair i is elements 2i and 2i + 1 of the two packs together
        turn_pair((2 * i < step ? low[h] : high[h])[2 * i % step],
                  (2 * i + 1 < step ? low[h] : high[h])[(2 * i + 1) % step], cos[i], sin[i]);
      }
    } else {
#pragma unroll
      for (int i = 0; i < step; ++i) {
        turn_pair(low[h][i], high[h][i], cos[i], sin[i]);
      }
    }
    gpu::store_pack(to[h] + first, low[h]);
    gpu::store_pack(to[h] + second, high[h]);
  }
}

class RotaryPosEmb {
 public:
  static constexpr std::uint32_t traits =
      LH_TRAIT_CAPTURE_SAFE | LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_NO_WORKSPACE;
  static constexpr std::array constraints{
      dtype_in("q", f32, bf16, f16), dtype_in("cos", f32, bf16, f16), last_dim_dense("q"),     last_dim_dense("k"),
      last_dim_dense("cos"),         last_dim_dense("sin"),           last_dim_dense("q_out"), last_dim_dense("k_out"),
      may_alias("q_out", "q"),       may_alias("k_out", "k"),
  };

  explicit RotaryPosEmb(const CreateArgs& args) : interleaved_(args.flag("interleaved")) {}

  void forward(const lh_call& call) const {
    const std::int64_t width = last_dim(*call.in[0]), angles = last_dim(*call.in[2]);
    if (angles != width / 2 && angles != width) {
      throw Failure(LH_INVALID, "cos: " + std::to_string(angles) + " columns; heads of " + std::to_string(width) +
                                    " elements take " + std::to_string(width / 2) + " or " + std::to_string(width));
    }
    visit_float(call.in[0]->dtype, [&]<class T>() { run<T>(call); });
  }

 private:
  template <class T>
  void run(const lh_call& call) const {
    constexpr int step = gpu::vector_width<T>;
    const DLTensor &q = *call.in[0], &cos = *call.in[2], &sin = *call.in[3];
    Operands<T> o{{Heads<T>(q, *call.out[0]), Heads<T>(*call.in[1], *call.out[1])},
                  Angles{gpu::AnyFloats(&cos), gpu::AnyFloats(&sin), cos.strides[0], sin.strides[0]}};
    o.pairs = static_cast<int>(last_dim(q) / 2);
    o.interleaved = interleaved_;
    const bool in_packs =
        o.pairs % step == 0 && o.of[0].takes_packs() && o.of[1].takes_packs() && o.angles.takes_packs(step);
    const std::int64_t of_head = o.pairs / (in_packs ? step : 1), heads = o.of[0].count + o.of[1].count;
    const std::int64_t all = q.shape[0] * heads * of_head;
    if (all == 0) {
      return;
    }
    // Few items are spread over all of the device.
    const std::int64_t resident = std::int64_t{2048} * gpu::multiprocessors(call.device.device_id);
    const std::int64_t groups = all < most_heads * resident ? heads : (heads + most_heads - 1) / most_heads;
    o.items_of_head = gpu::Divisor(of_head);
    o.groups_of_token = gpu::Divisor(groups);
    o.groups = static_cast<int>(groups);
    o.items = q.shape[0] * groups * of_head;
    gpu::launch(call, in_packs ? turn<T, step> : turn<T, 1>, gpu::blocks_for(o.items, threads), threads, 0, o);
  }

  bool interleaved_;
};

LAYERHUB_KERNEL_ON(LAYERHUB_GPU_DEVICE, RotaryPosEmb, layerhub::layers::RotaryPosEmb, "gpu");

}  // namespace
