// SPDX-License-Identifier: Apache-2.0
// The start of a process that chooses among builds for different processors, its own process for each sample. Ours
// chooses by metadata and opens one library; a call of the layer is part of it.
#include "bench/workers/peers.hpp"

namespace layerhub::bench {

void compare_variants(const Peers& peers) {
  const char* name = "choosing among CPU variants, ggml_backend_load_all with 14, faster by";
  if (peers.variants.empty()) {
    peers.report.not_measured(name, at_least(10), "tests/bench/peers builds ggml's variants for this subject");
    return;
  }
  const auto ours = [] {
    return Worker({LAYERHUB_BUILD_DIR "/bin/load_bench", "--child", "start", LAYERHUB_BENCH_PLUGIN_ROOT}, 0)
        .nanoseconds("go");
  };
  const auto theirs = [&] {
    return Worker({peers.variants + "/variants_worker", peers.variants + "/bin"}, 0).nanoseconds("go");
  };
  ours(), theirs();
  peers.report.add(name, compare_measured(ours, theirs, peers.report.pairs()).inverse(), at_least(10));
}

}  // namespace layerhub::bench
