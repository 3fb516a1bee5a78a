// SPDX-License-Identifier: Apache-2.0
// rotary_pos_emb: every head of a token turns by the same angles, so a token's cos and sin stay in the
// nearest cache while its heads of q and k stream by. Bound by memory: one read and one write for each element.
//
// Pairs of the interleaved form stand side by side: two vectors are split into the firsts and the seconds of
// their pairs, turned like halves, and put together again.
#include <layerhub/layers/rotary.hpp>
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <algorithm>

namespace {

using namespace layerhub::sdk;

// Elements that are worth a second worker.
constexpr std::int64_t least_per_worker = 16384;

// The firsts (offset 0) or seconds (offset 1) of the pairs in two vectors.
template <int offset>
Floats every_second(Floats a, Floats b) {
  return shuffled<[](int i) { return 2 * i + offset; }>(a, b);
}

// The other way round: half 0 or 1 of the pairs made of firsts and seconds.
template <int half>
Floats pairs(Floats firsts, Floats seconds) {
  return shuffled<[](int i) { return (half * lanes + i) / 2 + i % 2 * lanes; }>(firsts, seconds);
}

template <class T, class A>
void turn_halves(const T* x, T* y, const A* cos, const A* sin, std::int64_t half) {
  const auto turn = [&](std::int64_t i, auto extent) {
    const Floats c = load(cos + i, extent);
    const Floats s = load(sin + i, extent);
    const Floats a = load(x + i, extent);
    const Floats b = load(x + half + i, extent);
    store(y + i, a * c - b * s, extent);
    store(y + half + i, b * c + a * s, extent);
  };
  std::int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    turn(i, Whole{});
  }
  if (i < half) {
    turn(i, Part{half - i});
  }
}

// count: elements of x, twice the pairs; what a part of a pair of vectors leaves for each of the two.
template <class T, class A>
void turn_pairs(const T* x, T* y, const A* cos, const A* sin, std::int64_t half) {
  const auto turn = [&](std::int64_t i, auto angles, auto lower, auto upper) {
    const Floats c = load(cos + i, angles);
    const Floats s = load(sin + i, angles);
    const Floats low = load(x + 2 * i, lower);
    Floats high{};
    if constexpr (!std::is_same_v<decltype(upper), std::nullptr_t>) {
      high = load(x + 2 * i + lanes, upper);
    }
    const Floats a = every_second<0>(low, high);
    const Floats b = every_second<1>(low, high);
    const Floats first = a * c - b * s;
    const Floats second = b * c + a * s;
    store(y + 2 * i, pairs<0>(first, second), lower);
    if constexpr (!std::is_same_v<decltype(upper), std::nullptr_t>) {
      store(y + 2 * i + lanes, pairs<1>(first, second), upper);
    }
  };
  std::int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    turn(i, Whole{}, Whole{}, Whole{});
  }
  const Part left{half - i};
  if (2 * left.count > lanes) {
    turn(i, left, Whole{}, Part{2 * left.count - lanes});
  } else if (2 * left.count == lanes) {
    turn(i, left, Whole{}, nullptr);
  } else if (left.count > 0) {
    turn(i, left, Part{2 * left.count}, nullptr);
  }
}

// All heads of one token.
template <class T, class A>
void turn_heads(const DLTensor& x, const DLTensor& y, std::int64_t token, const A* cos, const A* sin,
                bool interleaved) {
  const std::int64_t half = x.shape[2] / 2;
  const T* from = data<T>(x) + token * x.strides[0];
  T* to = data<T>(y) + token * y.strides[0];
  for (std::int64_t head = 0; head < x.shape[1]; ++head) {
    if (interleaved) {
      turn_pairs(from + head * x.strides[1], to + head * y.strides[1], cos, sin, half);
    } else {
      turn_halves(from + head * x.strides[1], to + head * y.strides[1], cos, sin, half);
    }
  }
}

class RotaryPosEmb {
 public:
  static constexpr std::array constraints{
      dtype_in("q", f32, bf16, f16), dtype_in("cos", f32, bf16, f16), last_dim_dense("q"),     last_dim_dense("k"),
      last_dim_dense("cos"),         last_dim_dense("sin"),           last_dim_dense("q_out"), last_dim_dense("k_out"),
      may_alias("q_out", "q"),       may_alias("k_out", "k"),
  };

  explicit RotaryPosEmb(const CreateArgs& args) : interleaved_(args.flag("interleaved")) {}

  void forward(const lh_call& call) const {
    const std::int64_t width = call.in[0]->shape[2];
    const std::int64_t angles = call.in[2]->shape[1];
    if (angles != width / 2 && angles != width) {
      throw Failure(LH_INVALID, "cos: " + std::to_string(angles) + " columns; heads of " + std::to_string(width) +
                                    " elements take " + std::to_string(width / 2) + " or " + std::to_string(width));
    }
    visit_float(call.in[0]->dtype,
                [&]<class T>() { visit_float(call.in[2]->dtype, [&]<class A>() { run<T, A>(call); }); });
  }

 private:
  template <class T, class A>
  void run(const lh_call& call) const {
    const DLTensor& q = *call.in[0];
    const DLTensor& k = *call.in[1];
    const std::int64_t of_token = (q.shape[1] + k.shape[1]) * q.shape[2];
    const std::int64_t least_tokens = least_per_worker / std::max<std::int64_t>(of_token, 1) + 1;
    parallel_ranges(call.host, q.shape[0], least_tokens, 1, [&](Range range, std::uint32_t) {
      for (std::int64_t token = range.begin; token < range.end; ++token) {
        const A* cos = row<const A>(*call.in[2], token);
        const A* sin = row<const A>(*call.in[3], token);
        turn_heads<T>(q, *call.out[0], token, cos, sin, interleaved_);
        turn_heads<T>(k, *call.out[1], token, cos, sin, interleaved_);
      }
    });
  }

  bool interleaved_;
};

LAYERHUB_KERNEL(RotaryPosEmb, layerhub::layers::RotaryPosEmb, "vector");

}  // namespace
