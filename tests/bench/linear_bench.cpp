// SPDX-License-Identifier: Apache-2.0
// Linear. Decode: one row of input, weights of all layers of a token one after the other, so that they come from
// memory, against the fastest plain read of as many bytes with the same threads. Prefill: 512 rows, against the
// multiply-adds that the processor does in registers: for block formats 8-bit ones, or those of matrices where it has
// AMX, else in float32.
#include "bench/support/host.hpp"
#include "bench/support/report.hpp"

#include <fmt/format.h>

#include <memory>

namespace {

using namespace layerhub::bench;

struct WeightKind {
  const char *name, *format;
  DLDataType dtype, input;
};
constexpr WeightKind kinds[] = {{"Q4_1", "gguf.q4_1", u8, f32}, {"Q4_0", "gguf.q4_0", u8, f32},
                                {"Q8_0", "gguf.q8_0", u8, f32}, {"F16", "", f16, f16},
                                {"BF16", "", bf16, bf16},       {"F32", "", f32, f32}};

constexpr std::int64_t width = 576, mlp_width = 1536;  // SmolLM2's

// As many layers of one shape as make up `bytes`, with their kernels.
std::vector<std::unique_ptr<Linear>> layers_of(const WeightKind& kind, std::size_t bytes) {
  std::vector<std::unique_ptr<Linear>> layers;
  for (std::size_t held = 0; held < bytes; held += layers.back()->weight.bytes) {
    layers.push_back(std::make_unique<Linear>(mlp_width, width, kind.format, kind.dtype));
    layerhub::kernelize(*layers.back(), {.fallback = layerhub::Fallback::never});
  }
  return layers;
}

void decode(Report& report, const WeightKind& kind) {
  const auto layers = layers_of(kind, out_of_cache());
  const std::size_t bytes = layers.size() * layers[0]->weight.bytes;
  HostTensor x(kind.input, {1, width}), y(kind.input, {1, mlp_width});
  ReadLimit limit(bytes);
  for (unsigned threads = 1; threads <= processors(); threads *= 2) {
    layerhub::set_threads(threads);
    limit.choose();
    const auto ours = [&] {
      for (const auto& layer : layers) {
        (*layer)(x.view, y.view);
      }
    };
    report.add(fmt::format("decode {} {} x {}, {} MiB of weights, {}", kind.name, mlp_width, width, bytes >> 20,
                           threads_text(threads)),
               compare(ours, limit, report.pairs()).inverse(), std::nullopt);
  }
}

template <class Limit>
void prefill(Report& report, const WeightKind& kind) {
  constexpr std::int64_t rows = 512;
  Linear layer(mlp_width, width, kind.format, kind.dtype);
  layerhub::kernelize(layer, {.fallback = layerhub::Fallback::never});
  HostTensor x(kind.input, {rows, width}), y(kind.input, {rows, mlp_width});
  constexpr double products = static_cast<double>(rows) * width * mlp_width;
  const auto layer_call = [&] { layer(x.view, y.view); };
  for (unsigned threads = 1; threads <= processors(); threads *= 2) {
    layerhub::set_threads(threads);
    const Ratio ratio = compare_multiply_adds<Limit>(layer_call, products, report.pairs());
    report.add(fmt::format("prefill {} 512 x {} x {}, {}: {:.0f} Gop/s", kind.name, width, mlp_width,
                           threads_text(threads), 2 / ratio.ours),
               ratio.inverse(), std::nullopt);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return layerhub::bench::run(argc, argv, [](Report& report) {
    const layerhub::use_kernel_mapping scope(built_plugins());
    report.heading("the fastest plain read of the weights' bytes");
    for (const WeightKind& kind : kinds) {
      decode(report, kind);
    }
    const bool has_matrices = layerhub::device_info({kDLCPU, 0}).features.find("amx_bf16") != std::string::npos;
    report.heading(has_matrices ? "bfloat16 multiply-adds of matrices in registers"
                                : "8-bit multiply-adds in registers");
    for (const WeightKind& kind : {kinds[0], kinds[1], kinds[2]}) {
      has_matrices ? prefill<MultiplyMatrices>(report, kind) : prefill<MultiplyBytes>(report, kind);
    }
    report.heading("float32 multiply-adds in registers");
    for (const WeightKind& kind : {kinds[3], kinds[4], kinds[5]}) {
      prefill<MultiplyFloats>(report, kind);
    }
    return 0;
  });
}
