// SPDX-License-Identifier: Apache-2.0
// Kernels on an NVIDIA card against what its memory gives: a kernel that copies as many bytes in 128-bit accesses,
// timed by events in the same loop, the L2 flushed before each. The driver's own device copy stands beside it: a card
// on which that is far faster would make the kernel a poor measure. And the host's part of a launch against a raw one.
//
// Exit status 77: there is no card.
#include "baselines.hpp"
#include "bench/support/report.hpp"
#include "card.hpp"

#include <fmt/format.h>

#include <exception>

namespace {

using namespace layerhub::bench;

// Layers with params in the card's memory; their own forwards must never be what is measured.
struct CardRMSNorm : layerhub::use_kernel_forward_from_hub<CardRMSNorm, "RMSNorm"> {
  explicit CardRMSNorm(std::int64_t width, DLDataType dtype) : weight(dtype, {width}) {}
  CardTensor weight;
  auto hub_members() const {
    return layerhub::members(layerhub::param("weight", weight.view), layerhub::attribute("variance_epsilon", 1e-5));
  }
  void forward(const DLTensor&, DLTensor&) const { std::abort(); }
};

struct CardResidualRMSNorm : layerhub::use_kernel_forward_from_hub<CardResidualRMSNorm, "ResidualRMSNorm"> {
  explicit CardResidualRMSNorm(std::int64_t width, DLDataType dtype) : weight(dtype, {width}) {}
  CardTensor weight;
  auto hub_members() const {
    return layerhub::members(layerhub::param("weight", weight.view), layerhub::attribute("variance_epsilon", 1e-5));
  }
  void forward(const DLTensor&, const DLTensor&, DLTensor&, DLTensor&) const { std::abort(); }
};

layerhub::Mapping plugins_for_cards() {
  std::vector<layerhub::Mapping::LayerEntry> entries;
  for (const auto& [layer, repo] :
       {std::pair{"SiluAndMul", "layerhub/activation"}, std::pair{"RMSNorm", "layerhub/norm"},
        std::pair{"ResidualRMSNorm", "layerhub/norm"}, std::pair{"CausalAttention", "layerhub/attention"}}) {
    entries.push_back(
        {layer, {{"cuda", layerhub::LayerRepository{.repo_id = repo, .layer_name = layer, .revision = "v1"}}}});
  }
  return layerhub::Mapping(entries);
}

// A copy moves twice what it is told to: once to read it and once to write it.
class Copies {
 public:
  explicit Copies(std::size_t moved)
      : bytes(moved / 2 / 16 * 16),
        from_(u8, {static_cast<std::int64_t>(bytes)}),
        to_(u8, {static_cast<std::int64_t>(bytes)}) {}

  void by_kernel(const Card& card) const { copy_in_packs(to_.view.data, from_.view.data, bytes, card.stream()); }
  void by_driver(const Card& card) const {
    check(cudaMemcpyAsync(to_.view.data, from_.view.data, bytes, cudaMemcpyDeviceToDevice, card.stream()),
          "cudaMemcpyAsync");
  }

  const std::size_t bytes;

 private:
  CardTensor from_, to_;
};

// One row: what `enqueue` does with `moved` bytes, as a share of the copy.
void add_share(Report& report, const Card& card, const std::string& name, std::size_t moved, Goal goal,
               const std::function<void()>& enqueue) {
  const Copies copies(moved);
  const auto ours = [&] { return card.nanoseconds_on_card(enqueue); };
  const auto copy = [&] { return card.nanoseconds_on_card([&] { copies.by_kernel(card); }); };
  const auto driver = [&] { return card.nanoseconds_on_card([&] { copies.by_driver(card); }); };
  ours(), copy(), driver();
  const Ratio ratio = compare_measured(ours, copy, report.pairs());
  const std::string sized = fmt::format("{}, {} MiB moved, {:.0f} GB/s", name, moved >> 20,
                                        static_cast<double>(moved) / ratio.ours);
  report.add(sized, ratio.inverse(), goal);
  report.add("  the driver's copy", compare_measured(driver, copy, report.pairs()).inverse(), std::nullopt);
}

constexpr std::size_t moved_bytes = std::size_t{512} << 20;

std::int64_t rows_of(std::int64_t bytes_of_a_row) { return static_cast<std::int64_t>(moved_bytes) / bytes_of_a_row; }

void activations(Report& report, const Card& card, DLDataType dtype, const char* name) {
  constexpr std::int64_t width = 1536;
  const std::int64_t rows = rows_of(3 * width * dtype.bits / 8);
  CardTensor x(dtype, {rows, 2 * width}), y(dtype, {rows, width});
  SiluAndMul layer;
  add_share(report, card, fmt::format("SiluAndMul {}", name), x.bytes + y.bytes, at_least(0.95),
            [&] { layer(x.view, y.view); });
}

void norms(Report& report, const Card& card, std::int64_t width, DLDataType dtype, const char* name) {
  const std::int64_t rows = rows_of(4 * width * dtype.bits / 8);
  CardTensor x(dtype, {rows, width}), residual(dtype, {rows, width}), y(dtype, {rows, width}),
      new_residual(dtype, {rows, width});
  CardRMSNorm norm(width, dtype);
  CardResidualRMSNorm with_residual(width, dtype);
  add_share(report, card, fmt::format("RMSNorm {} of {}", name, width), 2 * x.bytes, at_least(0.95),
            [&] { norm(x.view, y.view); });
  add_share(report, card, fmt::format("ResidualRMSNorm {} of {}", name, width), 4 * x.bytes, at_least(0.95),
            [&] { with_residual(x.view, residual.view, y.view, new_residual.view); });
}

// One token of a model with as many heads as the caches need to reach the size.
void decode(Report& report, const Card& card, std::int64_t depth, std::int64_t group) {
  constexpr std::int64_t width = 128;
  const std::int64_t kv_heads = rows_of(2 * (depth + 1) * width * 2);
  CardTensor q(f16, {1, kv_heads * group, width}), k(f16, {1, kv_heads, width}), v(f16, {1, kv_heads, width}),
      output(f16, {1, kv_heads * group, width}), k_cache(f16, {depth + 1, kv_heads, width}),
      v_cache(f16, {depth + 1, kv_heads, width});
  CausalAttention layer;
  add_share(report, card, fmt::format("attention, one token at depth {}, groups of {}", depth, group),
            k_cache.bytes + v_cache.bytes, at_least(0.80), [&] {
              layer(q.view, k.view, v.view, k_cache.view, v_cache.view, depth, 0.088f, output.view);
            });
}

// The host's time of a call, of calls few enough that the stream never makes the host wait.
void launches(Report& report, const Card& card) {
  constexpr int calls = 200;
  CardTensor x(f32, {1, 128}), y(f32, {1, 64});
  SiluAndMul layer;
  auto prepared = layerhub::prepare(layer, x.view, y.view);
  const auto host_time = [&](const auto& call) {
    const double nanoseconds = nanoseconds_of([&] {
      for (int i = 0; i < calls; ++i) {
        call();
      }
    });
    card.synchronize();
    return nanoseconds / calls;
  };
  const auto raw = [&] { return host_time([&] { launch_nothing(card.stream()); }); };
  const auto add = [&](const char* name, const auto& call) {
    const auto ours = [&] { return host_time(call); };
    ours(), raw();
    report.add(name, compare_measured(ours, raw, report.pairs()), at_most(1.1));
  };
  add("SiluAndMul [1 x 64], a prepared call", [&] { prepared(); });
  add("SiluAndMul [1 x 64], a bound layer", [&] { layer(x.view, y.view); });
}

int run(Report& report) {
  layerhub::set_plugin_roots({LAYERHUB_PLUGIN_ROOT});
  const layerhub::DeviceList cards = layerhub::list_devices(kDLCUDA);
  if (cards.devices.empty()) {
    fmt::print(stderr, "cuda: {}; nothing is measured\n", cards.reason);
    return 77;
  }
  const layerhub::DeviceInfo& info = cards.devices.front();
  fmt::print("{} ({})\n", info.name, layerhub::to_string(info.device));
  const Card card;
  const layerhub::Stream stream = layerhub::Stream::borrow(info.device, card.stream());
  const layerhub::use_stream on_stream(stream);
  const layerhub::use_kernel_mapping scope(plugins_for_cards());
  report.heading("a copy of as many bytes by 128-bit accesses, in the same loop");
  activations(report, card, f32, "float32");
  activations(report, card, bf16, "bfloat16");
  for (const std::int64_t width : {576, 4096}) {
    norms(report, card, width, bf16, "bfloat16");
  }
  decode(report, card, 2048, 3);
  decode(report, card, 32768, 8);
  report.heading("a raw launch: the host's part");
  launches(report, card);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Report report(argc, argv);
  try {
    return run(report);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
