// SPDX-License-Identifier: Apache-2.0
// Kernels of this build, called in this process, against the same of ggml and of PyTorch in a process of theirs, one
// thread each. PyTorch is asked where LAYERHUB_TORCH_PYTHON names a Python that has it. The Hub's own kernels, which
// the goals of activations and norms name, come from no package registry: their rows say so.
#include "bench/support/host.hpp"
#include "bench/workers/peers.hpp"

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

constexpr const char* no_hub_kernels = "the Hub's kernels are in no package registry";

// A layer's call on [rows, width] of a dtype, as PyTorch's side is asked for it.
struct Shape {
  std::int64_t rows, width;
  int repeats;
  const char* where;  // "in cache"
};

// `call` against PyTorch's eager and compiled forms of the layer.
void compare_torch(const Peers& peers, const std::string& layer, const char* dtype, const Shape& shape,
                   const std::function<void()>& call) {
  for (const char* form : {"eager", "compiled"}) {
    const std::string name = fmt::format("{} {} [{} x {}] {}, PyTorch {}, faster by", layer, dtype, shape.rows,
                                         shape.width, shape.where, form);
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
          fmt::format("{} {} {} {} {} {}", layer, form, dtype, shape.rows, shape.width, shape.repeats);
      theirs.ask(command);
      const auto ours = [&] {
        call();
        return nanoseconds_of([&] {
                 for (int i = 0; i < shape.repeats; ++i) {
                   call();
                 }
               }) /
               shape.repeats;
      };
      peers.report.add(name,
                       compare_measured(
                           ours, [&] { return theirs.nanoseconds(command); }, peers.report.pairs())
                           .inverse(),
                       std::nullopt);
    } catch (const std::runtime_error& error) {
      peers.report.not_measured(name, std::nullopt, error.what());
    }
  }
}

// In cache, and so large that no cache holds it; `read_and_written` widths of a row.
std::vector<Shape> shapes_of(std::int64_t width, int read_and_written) {
  const auto row_bytes = static_cast<std::size_t>(2 * read_and_written * width);
  return {{8, width, 2000, "in cache"},
          {static_cast<std::int64_t>(out_of_cache() / row_bytes), width, 1, "out of cache"}};
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
  std::istringstream product(theirs.ask(fmt::format("product {} {} {}", file.path(), rows, columns)));
  double difference = 0, size = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    float value = 0;
    product >> value;
    difference += std::pow(value - y.elements<float>()[i], 2);
    size += std::pow(value, 2);
  }
  fmt::print("  outputs of the product: relative difference {:.1e}\n", std::sqrt(difference / size));
  if (!(difference < 1e-4 * size)) {
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
  set_threads(1);
  peers.report.not_measured("SiluAndMul bfloat16 out of cache, the Hub's kernel, faster by", at_least(2),
                            no_hub_kernels);
  peers.report.not_measured("SiluAndMul bfloat16 in cache, the Hub's kernel, faster by", at_least(2.5), no_hub_kernels);
  for (const Shape& shape : shapes_of(1536, 3)) {
    SiluAndMul layer;
    HostTensor x(bf16, {shape.rows, 2 * shape.width}), y(bf16, {shape.rows, shape.width});
    compare_torch(peers, "SiluAndMul", "bfloat16", shape, [&] { layer(x.view, y.view); });
  }
}

void compare_norm(const Peers& peers) {
  set_threads(1);
  peers.report.not_measured("RMSNorm bfloat16 [1 x 576], the Hub's kernel, faster by", at_least(5), no_hub_kernels);
  peers.report.not_measured("RMSNorm bfloat16 in cache, the Hub's kernel, faster by", at_least(1.5), no_hub_kernels);
  std::vector<Shape> shapes = shapes_of(576, 2);
  shapes.insert(shapes.begin(), {1, 576, 10'000, "in cache"});
  for (const Shape& shape : shapes) {
    RMSNorm layer(shape.width, bf16);
    HostTensor x(bf16, {shape.rows, shape.width}), y(bf16, {shape.rows, shape.width});
    compare_torch(peers, "RMSNorm", "bfloat16", shape, [&] { layer(x.view, y.view); });
  }
}

}  // namespace layerhub::bench
