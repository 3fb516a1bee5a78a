// SPDX-License-Identifier: Apache-2.0
// RMSNorm against a copy of the same bytes with non-temporal stores, out of cache. bfloat16 has a second limit, the
// nearer one without AVX-512: a copy by way of float converts each element there and back, the norm there twice. One
// row in cache has no limit of memory: it is shown against a plain read of the row, which says how far the arithmetic
// hides behind it. Every ratio is the share of its limit that is reached. tests/bench/peers holds RMSNorm against other
// kernels.
#include "bench/support/host.hpp"
#include "bench/support/report.hpp"

#include <fmt/format.h>

#include <string>

namespace {

using namespace layerhub::bench;

constexpr std::int64_t width = 576;  // SmolLM2's

// limit(x, y): the same bytes read and written.
template <class Limit>
void out_of_cache_rows(Report& report, DLDataType dtype, const char* name, std::optional<Goal> goal, Limit&& limit) {
  const auto rows = static_cast<std::int64_t>(out_of_cache() / (2 * width * dtype.bits / 8));
  HostTensor x(dtype, {rows, width}), y(dtype, {rows, width});
  RMSNorm layer(width, dtype);
  for (unsigned threads = 1; threads <= processors(); threads *= 2) {
    layerhub::set_threads(threads);
    report.add(fmt::format("RMSNorm {}, {} MiB, {}", name, (x.bytes + y.bytes) >> 20, threads_text(threads)),
               compare([&] { layer(x.view, y.view); }, [&] { limit(x, y); }, report.pairs()).inverse(), goal);
  }
}

// Its second result is the residual's own memory, as a model has it: two reads and two writes.
void residual_out_of_cache(Report& report, DLDataType dtype, const char* name) {
  const auto rows = static_cast<std::int64_t>(out_of_cache() / (3 * width * dtype.bits / 8));
  HostTensor x(dtype, {rows, width}), residual(dtype, {rows, width}), y(dtype, {rows, width});
  ResidualRMSNorm layer(width, dtype);
  AddAll limit;
  AsFloats a(x), b(residual), to(y);
  layerhub::set_threads(1);
  report.add(fmt::format("ResidualRMSNorm {}, {} MiB, 1 thread", name, (x.bytes + residual.bytes + y.bytes) >> 20),
             compare([&] { layer(x.view, residual.view, y.view, residual.view); },
                     [&] { limit(a.view, b.view, to.view); }, report.pairs())
                 .inverse(),
             std::nullopt);
}

void one_row(Report& report, DLDataType dtype, const char* name) {
  HostTensor x(dtype, {1, width}), y(dtype, {1, width});
  RMSNorm layer(width, dtype);
  ReadAll limit;
  HostTensor kept(f32, {1});
  AsFloats from(x);
  layerhub::set_threads(1);
  constexpr int repeats = 20'000;
  const auto ours = [&] {
    for (int i = 0; i < repeats; ++i) {
      layer(x.view, y.view);
    }
  };
  const auto theirs = [&] {
    for (int i = 0; i < repeats; ++i) {
      limit(from.view, kept.view);
    }
  };
  report.add(fmt::format("RMSNorm {} [1 x {}] in cache", name, width),
             compare(ours, theirs, report.pairs(), repeats).inverse(), std::nullopt);
}

}  // namespace

int main(int argc, char** argv) {
  return layerhub::bench::run(argc, argv, [](Report& report) {
    const layerhub::use_kernel_mapping scope(built_plugins());
    const auto copy = [limit = CopyAll()](const HostTensor& x, const HostTensor& y) {
      AsFloats from(x), to(y);
      limit(from.view, to.view);
    };
    report.heading("a copy with non-temporal stores");
    out_of_cache_rows(report, bf16, "bfloat16", at_least(0.85), copy);
    out_of_cache_rows(report, f32, "float32", at_least(0.85), copy);
    report.heading("a copy by way of float");
    out_of_cache_rows(report, bf16, "bfloat16", std::nullopt,
                      [limit = ConvertAll()](HostTensor& x, HostTensor& y) { limit(x.view, y.view); });
    report.heading("a stream: two reads, one non-temporal write");
    residual_out_of_cache(report, bf16, "bfloat16");
    residual_out_of_cache(report, f32, "float32");
    report.heading("a plain read of the row");
    one_row(report, bf16, "bfloat16");
    one_row(report, f32, "float32");
    return 0;
  });
}
