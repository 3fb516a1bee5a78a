// SPDX-License-Identifier: Apache-2.0
// SiluAndMul against what memory gives: a stream of two reads and one write with non-temporal stores over the same
// bytes and threads. In cache the arithmetic of exp is the limit: tests/bench/peers has that, against other kernels.
#include "bench/support/host.hpp"
#include "bench/support/report.hpp"

#include <fmt/format.h>

namespace {

using namespace layerhub::bench;

constexpr std::int64_t width = 1536;  // of y: SmolLM2's

void out_of_cache_rows(Report& report, DLDataType dtype, const char* name) {
  const auto rows = static_cast<std::int64_t>(out_of_cache() / (3 * width * dtype.bits / 8));
  HostTensor x(dtype, {rows, 2 * width}), y(dtype, {rows, width});
  SiluAndMul layer;
  const std::size_t floats = y.bytes / 4;
  AddAll limit;
  AsFloats a(x, 0, floats), b(x, floats, floats), to(y);
  for (unsigned threads = 1; threads <= processors(); threads *= 2) {
    layerhub::set_threads(threads);
    report.add(
        fmt::format("SiluAndMul {}, {} MiB, {}", name, (x.bytes + y.bytes) >> 20, threads_text(threads)),
        compare([&] { layer(x.view, y.view); }, [&] { limit(a.view, b.view, to.view); }, report.pairs()).inverse(),
        dtype.bits == 32 ? std::optional(at_least(0.95)) : std::nullopt);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return layerhub::bench::run(argc, argv, [](Report& report) {
    const layerhub::use_kernel_mapping scope(built_plugins());
    report.heading("a stream: two reads, one non-temporal write");
    out_of_cache_rows(report, f32, "float32");
    out_of_cache_rows(report, bf16, "bfloat16");
    return 0;
  });
}
