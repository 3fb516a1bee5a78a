// SPDX-License-Identifier: Apache-2.0
// The start of a process that chooses among builds for different processors, its own process for each sample. Ours are
// the plugins of a model's layers, which choose by metadata, open one library each and bind a layer; theirs is one
// backend with the kernels of all models, of which each build is opened and asked. Ours has fewer kernels to map.
#include "bench/workers/peers.hpp"

namespace layerhub::bench {

void compare_variants(const Peers& peers) {
  const char* name = "4 plugins, of 3 to 6 libraries each (theirs: 14 whole backends)";
  peers.report.heading("choosing among CPU variants by ggml_backend_load_all, faster by");
  if (peers.variants.empty()) {
    peers.report.not_measured(name, at_least(10), "tests/bench/peers builds ggml's variants for this subject");
    return;
  }
  const auto ours = [] {
    return Worker({LAYERHUB_BUILD_DIR "/bin/load_bench", "--child", "model"}, 0).nanoseconds("go");
  };
  const auto theirs = [&] {
    return Worker({peers.variants + "/variants_worker", peers.variants + "/bin"}, 0).nanoseconds("go");
  };
  ours(), theirs();
  peers.report.add(name, compare_measured(ours, theirs, peers.report.pairs()).inverse(), at_least(10));
}

}  // namespace layerhub::bench
