// SPDX-License-Identifier: Apache-2.0
// Kernels of this build, called in this process, against the same of ggml, of the Hub and of PyTorch in a process of
// theirs, one thread each. PyTorch is asked where LAYERHUB_TORCH_PYTHON names a Python that has it, the Hub's kernels
// where LAYERHUB_HUB_KERNELS names their sources beside; else their rows say so.
#include "bench/support/host.hpp"
#include "bench/workers/peers.hpp"

#include <layerhub/sdk/dtype.hpp>

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include <unistd.h>

namespace layerhub::bench {
namespace {

// What the other side shall read, for as long as this object is there.
class TemporaryFile {
 public:
  TemporaryFile(std::string_view first, std::string_view second)
      : path_(std::filesystem::temp_directory_path() / fmt::format("layerhub-peers-{}", getpid())) {
    std::ofstream(path_, std::ios::binary) << first << second;
  }
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// Of what the other side answered to our elements: the norm of the difference to that of the whole.
double relative_difference(const std::string& answer, std::size_t count,
                           const std::function<double(std::size_t)>& ours) {
  std::istringstream theirs(answer);
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < count; ++i) {
    double value = 0;
    theirs >> value;
    difference += std::pow(value - ours(i), 2);
    size += std::pow(value, 2);
  }
  return std::sqrt(difference / size);
}

// A layer's call on [rows, width] of bfloat16, as the other sides are asked for it.
struct Shape {
  std::int64_t rows, width;
  int repeats;
  const char* where;  // "in cache"
  std::optional<Goal> goal = std::nullopt;  // against the Hub's kernel

  std::string text(const char* layer, const char* peer) const {
    return fmt::format("{} bfloat16 [{} x {}] {}, {}, faster by", layer, rows, width, where, peer);
  }
};

// Nanoseconds of a call, warm.
double nanoseconds_of_call(const Shape& shape, const std::function<void()>& call) {
  call();
  return nanoseconds_of([&] {
           for (int i = 0; i < shape.repeats; ++i) {
             call();
           }
         }) /
         shape.repeats;
}

// `call` against the Hub's kernel, after y was compared with what that makes of x and the weight.
void compare_hub(const Peers& peers, const char* layer, const Shape& shape, const std::function<void()>& call,
                 std::initializer_list<const HostTensor*> inputs, const HostTensor& y) {
  const std::string name = shape.text(layer, "the Hub's kernel");
  if (peers.hub_kernels.empty()) {
    peers.report.not_measured(name, shape.goal, "LAYERHUB_HUB_KERNELS names no sources of the Hub's kernels");
    return;
  }
  if (peers.avx2 && std::string_view(layer) == "SiluAndMul") {
    peers.report.not_measured(name, shape.goal, "the Hub has no kernel for AVX2, it calls PyTorch's");
    return;
  }
  try {
    Worker theirs({peers.hub_kernels, peers.avx2 ? "--avx2" : "--native"}, 1);
    if (shape.repeats > 1) {  // what is out of cache has too many elements for a line of text
      call();
      std::string bytes;
      for (const HostTensor* input : inputs) {
        bytes.append(input->elements<char>(), input->bytes);
      }
      const TemporaryFile file(bytes, "");
      const double off = relative_difference(
          theirs.ask(fmt::format("output {} {} {} {}", layer, file.path(), shape.rows, shape.width)), y.bytes / 2,
          [&](std::size_t i) { return sdk::to_float(y.elements<sdk::bfloat16>()[i]); });
      if (!(off < 1e-2)) {
        throw std::runtime_error(fmt::format("the outputs differ by {:.1e}; times would say nothing", off));
      }
    }
    const std::string command = fmt::format("time {} {} {} {}", layer, shape.rows, shape.width, shape.repeats);
    theirs.ask(command);
    peers.report.add(name,
                     compare_measured([&] { return nanoseconds_of_call(shape, call); },
                                      [&] { return theirs.nanoseconds(command); }, peers.report.pairs())
                         .inverse(),
                     shape.goal);
  } catch (const std::runtime_error& error) {
    peers.report.not_measured(name, shape.goal, error.what());
  }
}

// `call` against PyTorch's eager and compiled forms of the layer.
void compare_torch(const Peers& peers, const char* layer, const Shape& shape, const std::function<void()>& call) {
  for (const char* form : {"eager", "compiled"}) {
    const std::string name = shape.text(layer, fmt::format("PyTorch {}", form).c_str());
    if (peers.torch_python.empty()) {
      peers.report.not_measured(name, std::nullopt, "LAYERHUB_TORCH_PYTHON names no Python that has PyTorch");
      continue;
    }
    try {
      // Without these PyTorch faults in the memory of each output anew, which would flatter us.
      Worker theirs({"/usr/bin/env", "MALLOC_MMAP_THRESHOLD_=2000000000", "MALLOC_TRIM_THRESHOLD_=2000000000",
                     peers.torch_python, LAYERHUB_SOURCE_DIR "/tests/bench/workers/torch_worker.py"},
                    1);
      const std::string command =
          fmt::format("{} {} bfloat16 {} {} {}", layer, form, shape.rows, shape.width, shape.repeats);
      theirs.ask(command);
      peers.report.add(name,
                       compare_measured([&] { return nanoseconds_of_call(shape, call); },
                                        [&] { return theirs.nanoseconds(command); }, peers.report.pairs())
                           .inverse(),
                       std::nullopt);
    } catch (const std::runtime_error& error) {
      peers.report.not_measured(name, std::nullopt, error.what());
    }
  }
}

// Rows so many that no cache holds them; `read_and_written` widths of each.
std::int64_t rows_out_of_cache(std::int64_t width, int read_and_written) {
  return static_cast<std::int64_t>(out_of_cache() / static_cast<std::size_t>(2 * read_and_written * width));
}

}  // namespace

// One product of the sample's shape, weights and all in the second cache, in one thread each.
void compare_matvec(const Peers& peers) {
  constexpr std::int64_t rows = 1536, columns = 576;
  constexpr int repeats = 500;
  Linear layer(rows, columns, "gguf.q4_1");
  HostTensor x(f32, {1, columns}), y(f32, {1, rows});
  layerhub::set_threads(1);
  layer(x.view, y.view);
  const TemporaryFile file({layer.weight.elements<char>(), layer.weight.bytes}, {x.elements<char>(), x.bytes});
  Worker theirs = peers.theirs(1);
  const double off = relative_difference(theirs.ask(fmt::format("product {} {} {}", file.path(), rows, columns)), rows,
                                         [&](std::size_t i) { return y.elements<float>()[i]; });
  fmt::print("  outputs of the product: relative difference {:.1e}\n", off);
  if (!(off < 1e-2)) {
    throw std::runtime_error("matvec: the products differ; times would say nothing");
  }
  const auto ours = [&] {
    layer(x.view, y.view);
    return nanoseconds_of([&] {
             for (int i = 0; i < repeats; ++i) {
               layer(x.view, y.view);
             }
           }) /
           repeats;
  };
  const std::string command = fmt::format("matvec {} {} {} {}", file.path(), rows, columns, repeats);
  peers.report.add(fmt::format("Q4_1 {} x {} by a vector, in cache, faster by", rows, columns),
                   compare_measured(
                       ours, [&] { return theirs.nanoseconds(command) / repeats; }, peers.report.pairs())
                       .inverse(),
                   at_least(4));
}

void compare_activation(const Peers& peers) {
  constexpr std::int64_t width = 1536;
  set_threads(1);
  for (const Shape& shape : {Shape{8, width, 2000, "in cache", at_least(2.5)},
                             Shape{rows_out_of_cache(width, 3), width, 1, "out of cache", at_least(2)}}) {
    SiluAndMul layer;
    HostTensor x(bf16, {shape.rows, 2 * width}), y(bf16, {shape.rows, width});
    const auto call = [&] { layer(x.view, y.view); };
    compare_hub(peers, "SiluAndMul", shape, call, {&x}, y);
    compare_torch(peers, "SiluAndMul", shape, call);
  }
}

void compare_norm(const Peers& peers) {
  constexpr std::int64_t width = 576;
  set_threads(1);
  for (const Shape& shape : {Shape{1, width, 10'000, "in cache", at_least(5)},
                             Shape{8, width, 2000, "in cache", at_least(1.5)},
                             Shape{rows_out_of_cache(width, 2), width, 1, "out of cache"}}) {
    RMSNorm layer(width, bf16);
    HostTensor x(bf16, {shape.rows, width}), y(bf16, {shape.rows, width});
    const auto call = [&] { layer(x.view, y.view); };
    compare_hub(peers, "RMSNorm", shape, call, {&x, &layer.weight}, y);
    compare_torch(peers, "RMSNorm", shape, call);
  }
}

}  // namespace layerhub::bench
