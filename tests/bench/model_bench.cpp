// SPDX-License-Identifier: Apache-2.0
// The sample's model. Decode against a read of all the weights' bytes that a token needs, with the same threads and by
// the fastest way of bench/limits. It tells how much of a token is not reading; it is no bound, for memory gives more
// to some orders of reading than to others, and to a copy more than to any of these. Against llama.cpp:
// tests/bench/peers.
#include "bench/support/host.hpp"
#include "bench/support/report.hpp"
#include "bench/workers/worker.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace {

using namespace layerhub::bench;

std::string joined_ids() {
  std::ifstream file(LAYERHUB_SOURCE_DIR "/tests/data/smollm2-greedy.json");
  return fmt::format("{}", fmt::join(nlohmann::json::parse(file).at("nll").at("ids").get<std::vector<int>>(), " "));
}

void decode(Report& report, const std::string& model, const std::string& ids, unsigned threads) {
  // The embedding of other tokens than the one is not read; its matrix is, as the output head.
  const std::size_t bytes = std::filesystem::file_size(model);
  ReadLimit read(bytes);
  Worker worker({LAYERHUB_BUILD_DIR "/bin/smollm2", "--session", "--hub", "--threads", std::to_string(threads)},
                threads);
  worker.ask("tokens " + ids);
  constexpr int tokens = 32;
  layerhub::set_threads(threads);
  read.choose();
  const auto ours = [&] { return rested(worker, fmt::format("decode 0 {}", tokens)) / tokens; };
  const auto limit = [&] {
    read();  // wakes the threads
    return nanoseconds_of([&] { read(); });
  };
  ours(), limit();
  report.add(fmt::format("decode, {} MB a token, {}", bytes / 1'000'000, threads_text(threads)),
             compare_measured(ours, limit, report.pairs()).inverse(), std::nullopt);
}

}  // namespace

int main(int argc, char** argv) {
  return layerhub::bench::run(argc, argv, [](Report& report) {
    const char* model = std::getenv("LAYERHUB_MODEL");
    if (model == nullptr || !std::filesystem::exists(model)) {
      fmt::print(stderr, "model_bench: LAYERHUB_MODEL names no file; tests/bench/run sets it\n");
      return 2;
    }
    const layerhub::use_kernel_mapping scope(built_plugins());
    report.heading("the fastest plain read of the model's bytes");
    const std::string ids = joined_ids();
    for (unsigned threads = 1; threads <= processors(); threads *= 2) {
      decode(report, model, ids, threads);
    }
    return 0;
  });
}
