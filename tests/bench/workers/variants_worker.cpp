// SPDX-License-Identifier: Apache-2.0
// ggml's side of choosing among builds for different processors: it opens every variant of its backend for the CPU,
// asks each for its score and keeps the best. One sample for each process, as tests/bench/load_bench.cpp takes ours.
//
//   variants_worker FOLDER    reads a line, answers the nanoseconds of ggml_backend_load_all from that folder
#include <ggml-backend.h>

#include <chrono>
#include <cstdio>

int main(int argc, char** argv) {
  char line[16];
  if (argc != 2 || std::fgets(line, sizeof line, stdin) == nullptr) {
    return 2;
  }
  ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);  // a line for each start, else
  const auto begin = std::chrono::steady_clock::now();
  ggml_backend_load_all_from_path(argv[1]);
  const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - begin;
  if (ggml_backend_reg_by_name("CPU") == nullptr) {
    std::puts("error: no variant was loaded");
    return 1;
  }
  std::printf("%lld\n", static_cast<long long>(took.count()));
  return 0;
}
