// SPDX-License-Identifier: Apache-2.0
// What is around a kernel, against the same of others: a call from C++ against tvm-ffi's Function, a call and the
// binding of a model against Python's `kernels` with the Hub's layers. Each is asked where it is there; else its rows
// say what would bring it.
#include "bench/support/host.hpp"
#include "bench/support/marked_model.hpp"
#include "bench/workers/peers.hpp"

#include <fmt/format.h>

#include <memory>
#include <stdexcept>

namespace layerhub::bench {
namespace {

// Nanoseconds of one of so many calls.
template <class Layer>
double nanoseconds_of_calls(const Layer& layer, const DLTensor& x, DLTensor& y, int calls) {
  return nanoseconds_of([&] {
           for (int i = 0; i < calls; ++i) layer(x, y);
         }) /
         calls;
}

// Warm on both sides; a side that can't be asked is a row that says why.
template <class Ours>
void compare_with(const Peers& peers, Worker& theirs, const std::string& name, const std::string& command, Ours&& ours,
                  std::optional<Goal> goal) {
  try {
    ours(), theirs.ask(command);
    peers.report.add(name,
                     compare_measured(
                         ours, [&] { return theirs.nanoseconds(command); }, peers.report.pairs())
                         .inverse(),
                     goal);
  } catch (const std::runtime_error& error) {
    peers.report.not_measured(name, goal, error.what());
  }
}

// Ours passes DLTensors in every row.
struct TvmFfiCall {
  const char *kind, *name;
  bool is_checked;  // our side of it
};

void compare_tvm_ffi(const Peers& peers) {
  const TvmFfiCall rows[] = {
      {"unchecked", "2 DLTensors, unchecked", false},
      {"owned", "2 tensors that theirs counts references to, ours not, unchecked", false},
      {"checked", "2 DLTensors, checked (theirs: in the kernel)", true},
  };
  const Goal goal = at_least(4);
  peers.report.heading("tvm-ffi's Function, called from C++, faster by");
  if (peers.tvm_ffi.empty()) {
    for (const TvmFfiCall& row : rows) {
      peers.report.not_measured(row.name, goal,
                                "tvm-ffi could not be fetched; run tests/bench/peers call where pip can");
    }
    return;
  }
  constexpr int calls = 1'000'000;
  Worker theirs({peers.tvm_ffi + "/tvm_ffi_worker", peers.tvm_ffi + "/tvm_ffi_kernel-O2.so",
                 peers.tvm_ffi + "/tvm_ffi_kernel-O3.so"},
                1);
  Unchecked unchecked;
  Checked checked;
  HostTensor x(i64, {1, 128}), y(i64, {1, 128});
  kernelize(unchecked, {.fallback = Fallback::never});
  kernelize(checked, {.fallback = Fallback::never});
  for (const TvmFfiCall& row : rows) {
    const auto ours = [&] {
      return row.is_checked ? nanoseconds_of_calls(checked, x.view, y.view, calls)
                            : nanoseconds_of_calls(unchecked, x.view, y.view, calls);
    };
    compare_with(peers, theirs, row.name, fmt::format("call {} {}", row.kind, calls), ours, goal);
  }
}

// Python's `kernels` with the Hub's layers; nothing where they can't be had, after the row has said so.
std::unique_ptr<Worker> start_python_kernels(const Peers& peers, const char* name, Goal goal) {
  if (peers.hub_packages.empty()) {
    peers.report.not_measured(name, goal,
                              "needs LAYERHUB_TORCH_PYTHON, a Python with torch and kernels (pip install torch "
                              "kernels), and LAYERHUB_HUB_KERNELS, a checkout of huggingface/kernels-community");
    return nullptr;
  }
  auto worker = std::make_unique<Worker>(
      std::vector<std::string>{peers.torch_python, LAYERHUB_SOURCE_DIR "/tests/bench/workers/kernels_worker.py",
                               peers.hub_packages},
      1u);
  try {
    worker->ask("version");
  } catch (const std::runtime_error&) {
    peers.report.not_measured(
        name, goal,
        "LAYERHUB_TORCH_PYTHON has no package kernels; run `" + peers.torch_python + " -m pip install kernels`");
    worker.reset();
  }
  return worker;
}

void compare_python_call(const Peers& peers) {
  const char* name = "SiluAndMul bfloat16 [1 x 64], output made anew (ours: given)";
  peers.report.heading("the Hub's layer, called in Python, faster by");
  const std::unique_ptr<Worker> theirs = start_python_kernels(peers, name, at_least(40));
  if (theirs) {
    SiluAndMul layer;
    HostTensor x(bf16, {1, 128}), y(bf16, {1, 64});
    compare_with(
        peers, *theirs, name, "call bfloat16 1 64 2000",
        [&] { return nanoseconds_of_calls(layer, x.view, y.view, 100'000); }, at_least(40));
  }
}

}  // namespace

void compare_call(const Peers& peers) {
  set_threads(1);
  compare_tvm_ffi(peers);
  compare_python_call(peers);
}

// Theirs looks every layer up and replaces its forward, whether it has its kernel or not. Ours finds every layer bound
// when it is asked again, as after a change of a mapping for some other layer, or makes each binding anew, its instance
// included.
void compare_kernelize(const Peers& peers) {
  const char *again = "kernelize 210 layers, again", *anew = "kernelize 210 layers, anew";
  const Goal goal = at_least(10);
  peers.report.heading("Python's kernels, faster by");
  for (const char* name : {again, anew}) {
    const std::unique_ptr<Worker> theirs = start_python_kernels(peers, name, goal);
    if (theirs) {
      constexpr int repeats = 10;
      MarkedModel model, other;  // the other one keeps the libraries open while the first has no kernels
      const KernelizeOptions options{.fallback = Fallback::never};
      kernelize(other, options);
      const auto ours = [&] {
        double took = 0;
        for (int i = 0; i < repeats; ++i) {
          if (name == anew) {
            unkernelize(model);
          }
          took += nanoseconds_of([&] { kernelize(model, options); });
        }
        return took / repeats;
      };
      compare_with(peers, *theirs, name, fmt::format("kernelize {}", repeats), ours, goal);
    }
  }
}

}  // namespace layerhub::bench
