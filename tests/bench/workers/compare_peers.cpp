// SPDX-License-Identifier: Apache-2.0
// What tests/bench/peers starts when it has built both sides; the arguments are its own business.
//
// Each side is a process of its own that answers commands (worker.hpp). They are asked in turn, each warm, and a moment
// after the other has gone to sleep: what is left of one's spinning threads must not slow the other.
//
//   compare_peers [--json FILE] [--quick] COMMAND MODEL REFERENCE HUB PEER F32_MODEL SUBJECT...
//
// COMMAND is what was typed, less the subjects: it stands above the rows of each of them.
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

int measure(Report& report) {
  const std::vector<std::string>& given = report.arguments();
  constexpr int fixed = 6;
  if (given.size() < fixed + 1) {
    fmt::print(stderr, "compare_peers: arguments are missing; tests/bench/peers gives them\n");
    return 2;
  }
  for (auto name = given.begin() + fixed; name != given.end(); ++name) {
    if (std::none_of(std::begin(subjects), std::end(subjects), [&](const auto& s) { return *name == s.first; })) {
      fmt::print(stderr, "{}: no such subject; tests/bench/peers --help\n", *name);
      return 2;
    }
  }
  Peers peers{report,
              given[1],
              given[3],
              given[4],
              given[5],
              {},
              "",
              environment("LAYERHUB_TORCH_PYTHON"),
              environment("LAYERHUB_HUB_WORKER"),
              environment("LAYERHUB_CPU_CAPABILITY") == "3",
              environment("LAYERHUB_GGML_VARIANTS"),
              environment("LAYERHUB_TVM_FFI"),
              environment("LAYERHUB_HUB_PACKAGES"),
              environment("LAYERHUB_IK_WORKER")};
  std::ifstream file(given[2]);
  const nlohmann::json reference = nlohmann::json::parse(file);
  for (const auto& text : reference.at("prompts")) {
    peers.texts.emplace_back(text.at("id"), joined(text.at("prompt_ids")) + joined(text.at("f32").at("ids")));
  }
  peers.stream = joined(reference.at("nll").at("ids"));
  const layerhub::use_kernel_mapping scope(built_plugins());
  int status = 0;
  for (const auto& [name, measure] : subjects) {
    if (std::find(given.begin() + fixed, given.end(), name) != given.end()) {
      report.command(fmt::format("{} {}", given[0], name));
      try {
        measure(peers);
      } catch (const std::exception& error) {  // the other subjects are none the worse for it
        report.not_measured(name, std::nullopt, error.what());
        status = 1;
      }
    }
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  return layerhub::bench::run(argc, argv, {""}, measure);
}
