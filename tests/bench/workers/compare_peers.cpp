// SPDX-License-Identifier: Apache-2.0
// What tests/bench/peers starts when it has built both sides; the arguments are its own business.
//
// Each side is a process of its own that answers commands (worker.hpp). They are asked in turn, each warm, and a moment
// after the other has gone to sleep: what is left of one's spinning threads must not slow the other.
//
//   compare_peers [--json FILE] [--quick] MODEL REFERENCE HUB PEER F32_MODEL SUBJECT...
#include "bench/support/host.hpp"
#include "bench/workers/peers.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace {

using namespace layerhub::bench;

constexpr std::pair<const char*, void (*)(const Peers&)> subjects[] = {
    {"outputs", compare_outputs},   {"decode", compare_decode},
    {"prefill", compare_prefill},   {"depth", compare_depth},
    {"first", compare_first_token}, {"memory", measure_memory},
    {"matvec", compare_matvec},     {"activation", compare_activation},
    {"norm", compare_norm},         {"variants", compare_variants},
    {"call", compare_call},         {"kernelize", compare_kernelize},
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string joined(const nlohmann::json& ids) {
  return fmt::format("{} ", fmt::join(ids.get<std::vector<int>>(), " "));
}

int run(Report& report) {
  const std::vector<std::string>& given = report.arguments();
  if (given.size() < 5) {
    fmt::print(stderr, "compare_peers: arguments are missing; tests/bench/peers gives them\n");
    return 2;
  }
  for (auto name = given.begin() + 5; name != given.end(); ++name) {
    if (std::none_of(std::begin(subjects), std::end(subjects), [&](const auto& s) { return *name == s.first; })) {
      fmt::print(stderr, "{}: no such subject; tests/bench/peers --help\n", *name);
      return 2;
    }
  }
  Peers peers{report,
              given[0],
              given[2],
              given[3],
              given[4],
              {},
              "",
              environment("LAYERHUB_TORCH_PYTHON"),
              environment("LAYERHUB_HUB_WORKER"),
              environment("LAYERHUB_CPU_CAPABILITY") == "3",
              environment("LAYERHUB_GGML_VARIANTS"),
              environment("LAYERHUB_TVM_FFI"),
              environment("LAYERHUB_HUB_PACKAGES"),
              environment("LAYERHUB_IK_WORKER")};
  std::ifstream file(given[1]);
  const nlohmann::json reference = nlohmann::json::parse(file);
  for (const auto& text : reference.at("prompts")) {
    peers.texts.emplace_back(text.at("id"), joined(text.at("prompt_ids")) + joined(text.at("f32").at("ids")));
  }
  peers.stream = joined(reference.at("nll").at("ids"));
  const layerhub::use_kernel_mapping scope(built_plugins());
  report.heading("llama.cpp, and others where they are named");
  for (const auto& [name, measure] : subjects) {
    if (given.size() == 5 || std::find(given.begin() + 5, given.end(), name) != given.end()) {
      measure(peers);
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    Report report(argc, argv);
    return run(report);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
