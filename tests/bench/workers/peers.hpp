// SPDX-License-Identifier: Apache-2.0
// The subjects of tests/bench/peers, and what they share: how to start either side.
#pragma once

#include "bench/support/report.hpp"
#include "bench/workers/worker.hpp"

#include <string>
#include <utility>
#include <vector>

namespace layerhub::bench {

struct Peers {
  Report& report;
  std::string model, hub, peer, f32_model;
  std::vector<std::pair<std::string, std::string>> texts;  // name, token ids
  std::string stream;                                      // token ids of a long text
  std::string torch_python;                                // a Python that has PyTorch, or empty
  std::string hub_kernels;                                 // hub_worker.cpp, built, or empty
  bool avx2;
  std::string variants;      // a build folder of ggml with all its variants for CPUs, or empty
  std::string tvm_ffi;       // a folder with tvm_ffi_worker.cpp and its kernels, built, or empty
  std::string hub_packages;  // a folder with the Hub's kernels as Python's `kernels` loads them, or empty
  std::string ik_peer;       // llama_worker.cpp, built with ik_llama.cpp, or empty

  Worker ours(unsigned threads) const {
    return {{hub, "--session", "--hub", "--model", model, "--threads", std::to_string(threads)}, threads};
  }
  Worker theirs(unsigned threads, bool f32 = false) const {
    return {{peer, f32 ? f32_model : model, std::to_string(threads)}, threads};
  }
  Worker ik_llama(unsigned threads) const { return {{ik_peer, model, std::to_string(threads)}, threads}; }
};

// What a peer makes of the same inputs is something else: the run fails, as a figure would say nothing.
struct WrongOutputs : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Of the model: model_peers.cpp. Each that times a peer compares outputs first and throws WrongOutputs; the first
// compares all texts, and measures nothing.
void compare_outputs(const Peers& peers);
void compare_decode(const Peers& peers);
void compare_prefill(const Peers& peers);
void compare_depth(const Peers& peers);
void compare_first_token(const Peers& peers);
void measure_memory(const Peers& peers);

// Of a start: variant_peers.cpp.
void compare_variants(const Peers& peers);

// Of calling and binding: call_peers.cpp.
void compare_call(const Peers& peers);
void compare_kernelize(const Peers& peers);

// Of single kernels: kernel_peers.cpp. Outputs are compared in each row; where they differ they throw WrongOutputs.
void compare_matvec(const Peers& peers);
void compare_activation(const Peers& peers);
void compare_norm(const Peers& peers);

}  // namespace layerhub::bench
