// SPDX-License-Identifier: Apache-2.0
// The sample's hub run against llama.cpp, on the same file, tokens and threads. Before anything is timed both are given
// the same texts, in the way that is timed but always with 2 threads: one by one, after a prompt of 512, or at a depth.
// They must find the same token likeliest at almost every place: two implementations with 8-bit activations agree with
// float32 on 95 % each, so on 90 % with each other.
#include "bench/workers/peers.hpp"

#include <layerhub/device.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace layerhub::bench {
namespace {

const char* const faster = "llama.cpp on the same file, faster by";
const char* const share_of_time = "llama.cpp on the same file, the share of its time";

// 20 tokens of the model.
const char* const prompt = "The old keeper of the lighthouse looked out over the dark sea and saw, far away, a light";

using Texts = std::vector<std::pair<std::string, std::string>>;  // name, token ids

std::vector<int> tokens_of(Worker& worker, const std::string& command) {
  std::istringstream words(worker.ask(command));
  return {std::istream_iterator<int>(words), std::istream_iterator<int>()};
}

// command: of session.hpp, which the tokens follow. whose: "" or ", ik_llama.cpp"
void require_equal_outputs(const Peers& peers, Worker theirs, const std::string& whose, const std::string& command,
                           const Texts& texts) {
  constexpr double least = 0.9;
  Worker ours = peers.ours(2);
  std::size_t places = 0, equal = 0;
  for (const auto& [name, ids] : texts) {
    const std::vector<int> left = tokens_of(ours, command + " " + ids), right = tokens_of(theirs, command + " " + ids);
    if (left.size() != right.size()) {
      throw WrongOutputs(fmt::format("outputs{}: for {} ours has {} tokens and theirs {}; times would say nothing",
                                     whose, name, left.size(), right.size()));
    }
    places += left.size();
    for (std::size_t i = 0; i < left.size(); ++i) {
      equal += left[i] == right[i] ? 1u : 0u;
    }
  }
  const double share = places == 0 ? 0 : static_cast<double>(equal) / static_cast<double>(places);
  fmt::print("outputs{}: the same token is likeliest at {} of {} places ({:.1f} %)\n", whose, equal, places,
             100 * share);
  if (share < least) {
    throw WrongOutputs(fmt::format("outputs{}: less than {:.0f} % agree; times would say nothing", whose, 100 * least));
  }
}

// Tokens of the stream, which begins again at its end: `before` that are fed at once, and 64 that are compared.
Texts stream_behind(const Peers& peers, std::size_t before) {
  constexpr std::size_t places = 64;
  std::istringstream words(peers.stream);
  const std::vector<std::string> ids{std::istream_iterator<std::string>(words), std::istream_iterator<std::string>()};
  std::string text;
  for (std::size_t i = 0; i < before + places; ++i) {
    text += ids[i % ids.size()] + " ";
  }
  return {{"the stream", text}};
}

// A seventh of all places: enough to see what is wrong, in seconds.
Texts some_texts(const Peers& peers) { return {peers.texts.begin(), peers.texts.begin() + 3}; }

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
  require_equal_outputs(peers, peers.theirs(2), "", "top", peers.texts);
  if (!peers.ik_peer.empty()) {
    require_equal_outputs(peers, peers.ik_llama(2), ", ik_llama.cpp", "top", peers.texts);
  }
}

void compare_decode(const Peers& peers) {
  const std::string command = "decode 0 64";
  require_equal_outputs(peers, peers.theirs(2), ", one by one", "top-by-one 0", some_texts(peers));
  if (!peers.ik_peer.empty()) {
    require_equal_outputs(peers, peers.ik_llama(2), ", ik_llama.cpp, one by one", "top-by-one 0", some_texts(peers));
  }
  peers.report.heading(faster);
  for (const unsigned threads : {1u, 2u}) {
    peers.report.add(fmt::format("decode, tokens/s, {}", threads_text(threads)),
                     faster_by(peers, peers.ours(threads), peers.theirs(threads), command, 64), at_least(2));
  }
  peers.report.heading("ik_llama.cpp on the same file, faster by");
  for (const unsigned threads : {1u, 2u}) {
    const std::string name = fmt::format("decode, tokens/s, {}", threads_text(threads));
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
  const Texts text = stream_behind(peers, 512);
  require_equal_outputs(peers, peers.theirs(2), ", after a prompt of 512", "top-by-one 512", text);
  require_equal_outputs(peers, peers.theirs(2, true), ", after a prompt of 512, weights in F32", "top-by-one 512",
                        text);
  const bool multiplies_bytes = device_info({kDLCPU, 0}).features.find("vnni") != std::string::npos;
  peers.report.heading(faster);
  for (const unsigned threads : {1u, 2u}) {
    peers.report.add(fmt::format("prefill of 512, tokens/s, {}", threads_text(threads)),
                     faster_by(peers, peers.ours(threads), peers.theirs(threads), command, 512),
                     at_least(multiplies_bytes ? 5 : 4));
    peers.report.add(fmt::format("prefill of 512 (theirs: weights in F32), tokens/s, {}", threads_text(threads)),
                     faster_by(peers, peers.ours(threads), peers.theirs(threads, true), command, 512), at_least(2.5));
  }
}

void compare_depth(const Peers& peers) {
  constexpr int depth = 2048, tokens = 16;
  require_equal_outputs(peers, peers.theirs(2), fmt::format(", at depth {}", depth),
                        fmt::format("top-by-one {}", depth), stream_behind(peers, depth));
  peers.report.heading(share_of_time);
  for (const unsigned threads : {1u, 2u}) {
    Worker ours = peers.ours(threads), theirs = peers.theirs(threads);
    const auto added = [&](Worker& worker) {
      const double near = rested(worker, fmt::format("decode 0 {}", tokens));
      return (rested(worker, fmt::format("decode {} {}", depth, tokens)) - near) / tokens;
    };
    for (Worker* worker : {&ours, &theirs}) {
      worker->ask("tokens " + peers.stream);
      added(*worker);
    }
    peers.report.add(fmt::format("added time per token at depth {}, {}", depth, threads_text(threads)),
                     compare_measured([&] { return added(ours); }, [&] { return added(theirs); }, peers.report.pairs()),
                     at_most(0.4));
  }
}

void compare_first_token(const Peers& peers) {
  const std::string command = "first " + nlohmann::json(prompt).dump();
  const std::string expected = peers.theirs(2).ask(command);
  peers.report.heading(share_of_time);
  for (const unsigned threads : {1u, 2u}) {
    const auto from_start = [&](auto start) {
      std::this_thread::sleep_for(std::chrono::milliseconds(40));
      const auto begin = std::chrono::steady_clock::now();
      Worker worker = start(threads);
      const std::string token = worker.ask(command);
      const auto took = std::chrono::steady_clock::now() - begin;
      if (token != expected) {
        throw WrongOutputs(fmt::format(
            "the first token is {} where llama.cpp has {} with 2 threads; times would say nothing", token, expected));
      }
      return std::chrono::duration<double, std::nano>(took).count();
    };
    const auto ours = [&] { return from_start([&](unsigned n) { return peers.ours(n); }); };
    const auto theirs = [&] { return from_start([&](unsigned n) { return peers.theirs(n); }); };
    ours(), theirs();
    peers.report.add(fmt::format("first token from process start, {}", threads_text(threads)),
                     compare_measured(ours, theirs, peers.report.pairs()), at_most(1));
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
  ratio.pairs = 1;
  ratio.is_to_constant = true;
  peers.report.heading("the size of the model's file, a constant");
  peers.report.add(fmt::format("peak memory less caches and activations, {:.1f} MB", (peak - caches) / 1e6), ratio,
                   at_most(1.25));
}

}  // namespace layerhub::bench
