// SPDX-License-Identifier: Apache-2.0
// Kernels of this build, called in this process, against the same of ggml, of the Hub and of PyTorch in a process of
// theirs, one thread each. PyTorch is asked where LAYERHUB_TORCH_PYTHON names a Python that has it, the Hub's kernels
// where LAYERHUB_HUB_KERNELS names their sources beside; else their rows say so.
//
// Before a row of the table is measured the other side is given our inputs, and its output is held against ours.
#include "bench/support/host.hpp"
#include "bench/workers/peers.hpp"
#include "support/temporary_folder.hpp"

#include <layerhub/sdk/dtype.hpp>

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace layerhub::bench {
namespace {

// Files by which both sides give each other tensors, for as long as this object is there.
class Exchange {
 public:
  explicit Exchange(const std::vector<const HostTensor*>& inputs) {
    std::ofstream file(input(), std::ios::binary);
    for (const HostTensor* tensor : inputs) {
      file.write(tensor->elements<char>(), static_cast<std::streamsize>(tensor->bytes));
    }
    if (!file.flush()) {
      throw std::runtime_error(input() + ": it cannot be written; make room or set TMPDIR");
    }
  }

  std::string input() const { return (folder_.path() / "input").string(); }
  std::string output() const { return (folder_.path() / "output").string(); }

  // Throws where a row that the other side left in output() is not that of y, but for the rounding of its dtype.
  void require_equal(const HostTensor& y) const {
    std::ifstream file(output(), std::ios::binary);
    std::vector<sdk::bfloat16> theirs(y.bytes / 2);
    const auto bytes = static_cast<std::streamsize>(y.bytes);
    if (!file.read(reinterpret_cast<char*>(theirs.data()), bytes) || file.peek() != std::ifstream::traits_type::eof()) {
      throw std::runtime_error(fmt::format("its output has not the {} bytes of ours; times would say nothing", bytes));
    }
    const auto width = static_cast<std::size_t>(y.view.shape[1]);
    for (std::size_t row = 0; row < theirs.size(); row += width) {
      require_small(
          width, [&](std::size_t i) { return sdk::to_float(theirs[row + i]); },
          [&](std::size_t i) { return sdk::to_float(y.elements<sdk::bfloat16>()[row + i]); });
    }
  }

  // Throws where the norm of the difference is not small to that of theirs. A NaN is not.
  template <class Theirs, class Ours>
  static void require_small(std::size_t count, Theirs&& theirs, Ours&& ours) {
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const double left = ours(i), right = theirs(i);
      difference += (left - right) * (left - right);
      size += right * right;
    }
    const double relative = std::sqrt(difference / size);
    if (!(relative < 1e-2)) {
      throw WrongOutputs(fmt::format("the outputs differ by {:.1e}; times would say nothing", relative));
    }
  }

 private:
  testing::TemporaryFolder folder_;
};

// A layer's call on [rows, width] of bfloat16, as the other sides are asked for it.
struct Shape {
  std::int64_t rows, width;
  int repeats;
  const char* where;                        // "in cache"
  std::optional<Goal> goal = std::nullopt;  // against the Hub's kernel
};

struct Subject {
  const char* layer;
  Shape shape;
  std::function<void()> call;
  std::vector<const HostTensor*> inputs;
  const HostTensor& y;

  std::string name() const {
    return fmt::format("{} bfloat16 [{} x {}] {}", layer, shape.rows, shape.width, shape.where);
  }
  // Nanoseconds of a call, warm.
  double nanoseconds() const {
    call();
    return nanoseconds_of([&] {
             for (int i = 0; i < shape.repeats; ++i) {
               call();
             }
           }) /
           shape.repeats;
  }
};

// A row of the table against what `start` starts; `form` stands in its commands. What fails is a row that says so.
void add_row(const Peers& peers, const Subject& subject, const std::string& name, std::optional<Goal> goal,
             const std::vector<std::string>& start, const std::string& form) {
  const Shape& shape = subject.shape;
  try {
    Worker theirs(start, 1);
    const std::string what = fmt::format("{}{} {} {}", subject.layer, form, shape.rows, shape.width);
    {
      const Exchange exchange(subject.inputs);
      subject.call();
      theirs.ask(fmt::format("output {} {} {}", what, exchange.input(), exchange.output()));
      exchange.require_equal(subject.y);
    }
    const std::string command = fmt::format("time {} {}", what, shape.repeats);
    theirs.ask(command);
    peers.report.add(name,
                     compare_measured([&] { return subject.nanoseconds(); },
                                      [&] { return theirs.nanoseconds(command); }, peers.report.pairs())
                         .inverse(),
                     goal);
  } catch (const WrongOutputs& wrong) {
    throw WrongOutputs(name + ": " + wrong.what());
  } catch (const std::runtime_error& error) {
    peers.report.not_measured(name, goal, error.what());
  }
}

void compare_hub(const Peers& peers, const Subject& subject) {
  peers.report.heading("the Hub's kernel, called from C++, faster by");
  if (peers.hub_kernels.empty()) {
    peers.report.not_measured(subject.name(), subject.shape.goal,
                              "LAYERHUB_HUB_KERNELS names no sources of the Hub's kernels");
  } else if (peers.avx2 && std::string_view(subject.layer) == "SiluAndMul") {
    peers.report.not_measured(subject.name(), subject.shape.goal, "the Hub has no kernel for AVX2, it calls PyTorch's");
  } else {
    add_row(peers, subject, subject.name(), subject.shape.goal, {peers.hub_kernels, peers.avx2 ? "--avx2" : "--native"},
            "");
  }
}

// The layer's eager and compiled forms. Theirs is the time of a loop in Python over calls that make their outputs anew:
// that is how PyTorch is used, and rms_norm and silu take no output. In cache it is most of their time.
void compare_torch(const Peers& peers, const Subject& subject) {
  peers.report.heading("PyTorch in a Python loop, its outputs made anew, faster by");
  for (const char* form : {"eager", "compiled"}) {
    const std::string name = fmt::format("{}, {}", subject.name(), form);
    if (peers.torch_python.empty()) {
      peers.report.not_measured(name, std::nullopt, "LAYERHUB_TORCH_PYTHON names no Python that has PyTorch");
    } else {
      // Without these PyTorch faults in the memory of each output anew, which would flatter us.
      add_row(peers, subject, name, std::nullopt,
              {"/usr/bin/env", "MALLOC_MMAP_THRESHOLD_=2000000000", "MALLOC_TRIM_THRESHOLD_=2000000000",
               peers.torch_python, LAYERHUB_SOURCE_DIR "/tests/bench/workers/torch_worker.py"},
              fmt::format(" {} bfloat16", form));
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
  const Exchange exchange({&layer.weight, &x});
  Worker theirs = peers.theirs(1);
  std::istringstream products(theirs.ask(fmt::format("product {} {} {}", exchange.input(), rows, columns)));
  const std::vector<double> expected{std::istream_iterator<double>(products), std::istream_iterator<double>()};
  if (expected.size() != rows) {
    throw std::runtime_error(
        fmt::format("ours has {} elements and theirs {}; times would say nothing", rows, expected.size()));
  }
  Exchange::require_small(
      expected.size(), [&](std::size_t i) { return expected[i]; },
      [&](std::size_t i) { return y.elements<float>()[i]; });
  const auto ours = [&] {
    layer(x.view, y.view);
    return nanoseconds_of([&] {
             for (int i = 0; i < repeats; ++i) {
               layer(x.view, y.view);
             }
           }) /
           repeats;
  };
  const std::string command = fmt::format("matvec {} {} {} {}", exchange.input(), rows, columns, repeats);
  peers.report.heading("ggml's dot products of the rows, faster by");
  peers.report.add(fmt::format("Q4_1 {} x {} by a vector, in cache", rows, columns),
                   compare_measured(
                       ours, [&] { return theirs.nanoseconds(command) / repeats; }, peers.report.pairs())
                       .inverse(),
                   at_least(4));
}

void compare_activation(const Peers& peers) {
  constexpr std::int64_t width = 1536;
  set_threads(1);
  for (const auto compare : {compare_hub, compare_torch}) {
    for (const Shape& shape : {Shape{8, width, 2000, "in cache", at_least(2.5)},
                               Shape{rows_out_of_cache(width, 3), width, 1, "out of cache", at_least(2)}}) {
      SiluAndMul layer;
      HostTensor x(bf16, {shape.rows, 2 * width}), y(bf16, {shape.rows, width});
      compare(peers, {"SiluAndMul", shape, [&] { layer(x.view, y.view); }, {&x}, y});
    }
  }
}

void compare_norm(const Peers& peers) {
  constexpr std::int64_t width = 576;
  set_threads(1);
  for (const auto compare : {compare_hub, compare_torch}) {
    for (const Shape& shape :
         {Shape{1, width, 10'000, "in cache", at_least(5)}, Shape{8, width, 2000, "in cache", at_least(1.5)},
          Shape{rows_out_of_cache(width, 2), width, 1, "out of cache"}}) {
      RMSNorm layer(width, bf16);
      HostTensor x(bf16, {shape.rows, width}), y(bf16, {shape.rows, width});
      compare(peers, {"RMSNorm", shape, [&] { layer(x.view, y.view); }, {&x, &layer.weight}, y});
    }
  }
}

}  // namespace layerhub::bench
