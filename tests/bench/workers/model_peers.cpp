// SPDX-License-Identifier: Apache-2.0
// The sample's hub run against llama.cpp, on the same file, tokens and threads. Before anything is timed both are given
// the same texts, and must find the same token likeliest at almost every place: two implementations with 8-bit
// activations agree with float32 on 95 % each, so on 90 % with each other.
#include "bench/workers/peers.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace layerhub::bench {
namespace {

// 20 tokens of the model.
const char* const prompt = "The old keeper of the lighthouse looked out over the dark sea and saw, far away, a light";

void compare_outputs_with(const Peers& peers, Worker theirs, const std::string& whose) {
  constexpr double least = 0.9;
  Worker ours = peers.ours(2);
  std::size_t places = 0, equal = 0;
  for (const auto& [name, ids] : peers.texts) {
    std::istringstream a(ours.ask("top " + ids)), b(theirs.ask("top " + ids));
    for (int left = 0, right = 0; a >> left && b >> right; ++places) {
      equal += left == right ? 1u : 0u;
    }
  }
  const double share = places == 0 ? 0 : static_cast<double>(equal) / static_cast<double>(places);
  fmt::print("outputs{}: the same token is likeliest at {} of {} places ({:.1f} %)\n", whose, equal, places,
             100 * share);
  if (share < least) {
    throw std::runtime_error(
        fmt::format("outputs{}: less than {:.0f} % agree; times would say nothing", whose, 100 * least));
  }
}

// Of the tokens in a second: a command for so many tokens, which both have had before.
Ratio faster_by(const Peers& peers, Worker ours, Worker theirs, const std::string& command, double tokens) {
  ours.ask("tokens " + peers.stream);
  theirs.ask("tokens " + peers.stream);
  rested(ours, command), rested(theirs, command);
  return compare_measured([&] { return rested(ours, command) / tokens; },
                          [&] { return rested(theirs, command) / tokens; }, peers.report.pairs())
      .inverse();
}

}  // namespace

void compare_outputs(const Peers& peers) {
  compare_outputs_with(peers, peers.theirs(2), "");
  if (!peers.ik_peer.empty()) {
    compare_outputs_with(peers, peers.ik_llama(2), ", ik_llama.cpp");
  }
}

void compare_decode(const Peers& peers) {
  const std::string command = "decode 0 64";
  for (const unsigned threads : {1u, 2u}) {
    peers.report.add(fmt::format("decode, tokens/s, {}", threads_text(threads)),
                     faster_by(peers, peers.ours(threads), peers.theirs(threads), command, 64), at_least(2));
  }
  for (const unsigned threads : {1u, 2u}) {
    const std::string name = fmt::format("decode, tokens/s, {}, ik_llama.cpp", threads_text(threads));
    if (peers.ik_peer.empty()) {
      peers.report.not_measured(name, at_least(1.5), "LAYERHUB_IK_LLAMA names no checkout");
    } else {
      peers.report.add(name, faster_by(peers, peers.ours(threads), peers.ik_llama(threads), command, 64),
                       at_least(1.5));
    }
  }
}

void compare_prefill(const Peers& peers) {
  const std::string command = "prefill 512";
  for (const unsigned threads : {1u, 2u}) {
    peers.report.add(fmt::format("prefill of 512, tokens/s, {}", threads_text(threads)),
                     faster_by(peers, peers.ours(threads), peers.theirs(threads), command, 512),
                     at_least(peers.avx2 ? 4 : 5));
    peers.report.add(fmt::format("prefill of 512 (theirs: weights in F32), tokens/s, {}", threads_text(threads)),
                     faster_by(peers, peers.ours(threads), peers.theirs(threads, true), command, 512), at_least(2.5));
  }
}

void compare_depth(const Peers& peers) {
  for (const unsigned threads : {1u, 2u}) {
    Worker ours = peers.ours(threads), theirs = peers.theirs(threads);
    const auto added = [](Worker& worker) {
      const double near = rested(worker, "decode 0 16");
      return (rested(worker, "decode 2048 16") - near) / 16;
    };
    for (Worker* worker : {&ours, &theirs}) {
      worker->ask("tokens " + peers.stream);
      added(*worker);
    }
    peers.report.add(fmt::format("added time per token at depth 2048, {}", threads_text(threads)),
                     compare_measured([&] { return added(ours); }, [&] { return added(theirs); }, peers.report.pairs()),
                     at_most(0.4));
  }
}

void compare_first_token(const Peers& peers) {
  const std::string command = "first " + nlohmann::json(prompt).dump();
  for (const unsigned threads : {1u, 2u}) {
    std::string our_text, their_text;
    const auto from_start = [&](auto start, std::string& text) {
      std::this_thread::sleep_for(std::chrono::milliseconds(40));
      const auto begin = std::chrono::steady_clock::now();
      Worker worker = start(threads);
      text = worker.ask(command);
      return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
    };
    const auto ours = [&] { return from_start([&](unsigned n) { return peers.ours(n); }, our_text); };
    const auto theirs = [&] { return from_start([&](unsigned n) { return peers.theirs(n); }, their_text); };
    ours(), theirs();
    peers.report.add(fmt::format("first token from process start, {}", threads_text(threads)),
                     compare_measured(ours, theirs, peers.report.pairs()), at_most(1));
    fmt::print("  the tokens: {} and {}\n", our_text, their_text);
  }
}

void measure_memory(const Peers& peers) {
  Worker ours = peers.ours(2);
  ours.ask("tokens " + peers.stream);
  ours.ask("prefill 64");
  ours.ask("decode 64 64");
  std::istringstream answer(ours.ask("memory"));
  double peak = 0, caches = 0;
  answer >> peak >> caches;
  const auto file = static_cast<double>(std::filesystem::file_size(peers.model));
  Ratio ratio;
  ratio.median = ratio.p25 = ratio.p75 = (peak - caches) / file;
  peers.report.add(
      fmt::format("peak memory less caches and activations, {:.1f} MB, to the file's size", (peak - caches) / 1e6),
      ratio, at_most(1.25));
}

}  // namespace layerhub::bench
