// SPDX-License-Identifier: Apache-2.0
// CausalAttention with SmolLM2's heads (9 over 3 of 64) and float16 caches. Decode: one token at a depth, the caches
// of many layers one after the other, against the fastest plain read of the bytes that are filled. Prefill: 512 tokens,
// of which each sees itself and those before it, against the multiply-adds in float32 that the processor does in
// registers.
#include "bench/support/host.hpp"
#include "bench/support/report.hpp"

#include <fmt/format.h>

#include <memory>

namespace {

using namespace layerhub::bench;

constexpr std::int64_t heads = 9, kv_heads = 3, size = 64;

struct Step {  // of `tokens` tokens
  explicit Step(std::int64_t tokens)
      : q(f32, {tokens, heads, size}),
        k(f32, {tokens, kv_heads, size}),
        v(f32, {tokens, kv_heads, size}),
        output(f32, {tokens, heads, size}) {}
  HostTensor q, k, v, output;
};

struct Caches {
  explicit Caches(std::int64_t capacity) : k(f16, {capacity, kv_heads, size}), v(f16, {capacity, kv_heads, size}) {}
  HostTensor k, v;
};

void call(const CausalAttention& layer, Step& step, Caches& caches, std::int64_t length) {
  layer(step.q.view, step.k.view, step.v.view, caches.k.view, caches.v.view, length, 0.125f, step.output.view);
}

void decode(Report& report, std::int64_t depth) {
  CausalAttention layer;
  Step step(1);
  const std::size_t layer_bytes = static_cast<std::size_t>(2 * 2 * (depth + 1) * kv_heads * size);
  std::vector<std::unique_ptr<Caches>> caches;
  for (std::size_t held = 0; held < out_of_cache(); held += layer_bytes) {
    caches.push_back(std::make_unique<Caches>(depth + 1));
  }
  const std::size_t bytes = caches.size() * layer_bytes;
  ReadLimit limit(bytes);
  for (unsigned threads = 1; threads <= processors(); threads *= 2) {
    layerhub::set_threads(threads);
    limit.choose();
    const auto ours = [&] {
      for (const auto& cache : caches) {
        call(layer, step, *cache, depth);
      }
    };
    report.add(fmt::format("decode at depth {}, {} MiB of caches, {}", depth, bytes >> 20, threads_text(threads)),
               compare(ours, limit, report.pairs()).inverse(), std::nullopt);
  }
}

void prefill(Report& report, std::int64_t tokens) {
  CausalAttention layer;
  Step step(tokens);
  Caches caches(tokens);
  const double products = static_cast<double>(tokens) * static_cast<double>(tokens + 1) / 2 * heads * size * 2;
  for (unsigned threads = 1; threads <= processors(); threads *= 2) {
    layerhub::set_threads(threads);
    const Ratio ratio =
        compare_multiply_adds<MultiplyFloats>([&] { call(layer, step, caches, 0); }, products, report.pairs());
    report.add(fmt::format("prefill of {}, {}: {:.0f} GFLOP/s", tokens, threads_text(threads), 2 / ratio.ours),
               ratio.inverse(), std::nullopt);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return layerhub::bench::run(argc, argv, [](Report& report) {
    const layerhub::use_kernel_mapping scope(built_plugins());
    report.heading("the fastest plain read of the caches' bytes");
    for (const std::int64_t depth : {128, 2048, 8191}) {
      decode(report, depth);
    }
    report.heading("float32 multiply-adds in registers");
    for (const std::int64_t tokens : {512, 2048}) {
      prefill(report, tokens);
    }
    return 0;
  });
}
