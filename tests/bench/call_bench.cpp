// SPDX-License-Identifier: Apache-2.0
// What does a call through a layer cost, against a plain indirect call of the same shape?
// Bars: bound, nothing to check <= 1.5x; bound, constraints checked <= 3x; dispatched at call time <= 1.5x and <= 4x.
//
// The kernel adds one to a counter, so what is left is the way to it: the views of the tensors, the slot of their
// device, the scope, the constraints, lh_call. The plain call is a function behind a pointer that the compiler can't
// see through, and adds one as well. The counter proves that every call reached its kernel.
//
//   call_bench                     the table of ratios
//   call_bench --calls=N ROW       only N calls of one row, for callgrind; tests/bench/run --instructions does that
//   call_bench --names             the rows and their bars in instructions
#include "bench/support/report.hpp"

#include <layerhub/layerhub.hpp>

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using layerhub::bench::Report;

// A host's layers: their own forwards must never be what is measured.
struct Unchecked : layerhub::use_kernel_forward_from_hub<Unchecked, "Unchecked"> {
  void forward(const DLTensor&, DLTensor&) const { std::abort(); }
};
struct Checked : layerhub::use_kernel_forward_from_hub<Checked, "Checked"> {
  void forward(const DLTensor&, DLTensor&) const { std::abort(); }
};

struct Tensors {
  std::array<std::int64_t, 128> memory_x{}, memory_y{};
  std::array<std::int64_t, 2> shape{1, 128}, strides{128, 1};
  DLTensor x = view(memory_x.data()), y = view(memory_y.data());

  DLTensor view(std::int64_t* data) { return {data, {kDLCPU, 0}, 2, {kDLInt, 64, 1}, shape.data(), strides.data(), 0}; }
};

void count(const DLTensor&, DLTensor& y) { ++*static_cast<std::int64_t*>(y.data); }
void (*volatile plain)(const DLTensor&, DLTensor&) = count;

layerhub::Mapping mapping() {
  const auto from = [](const char* layer) {
    return layerhub::LayerRepository{.repo_id = "bench/nothing", .layer_name = layer, .revision = "v1"};
  };
  return {{"Unchecked", {{"cpu", from("Unchecked")}}}, {"Checked", {{"cpu", from("Checked")}}}};
}

struct Case {
  std::string name;
  std::string what;
  double at_most;                 // against the plain call, in time
  unsigned at_most_instructions;  // of one call, as callgrind counts them; 0: no bar
  std::function<void(std::uint64_t calls)> run;
};

class CallBench {
 public:
  CallBench() : scope_(mapping()) {
    layerhub::kernelize(bound_unchecked_, {.fallback = layerhub::Fallback::never});
    layerhub::kernelize(bound_checked_, {.fallback = layerhub::Fallback::never});
    add("bound", "bound, no constraints", 1.5, 50, bound_unchecked_);
    add("bound-checked", "bound, constraints checked", 3, 145, bound_checked_);
    cases_.push_back(
        {"prepared", "bound, constraints checked once: a prepared call", 1.5, 70, [this](std::uint64_t calls) {
           auto prepared = layerhub::prepare(bound_checked_, tensors_.x, tensors_.y);
           for (std::uint64_t i = 0; i < calls; ++i) prepared();
           made_ += calls;
         }});
    add("dispatched", "dispatched at call time, no constraints", 1.5, 0, dispatched_unchecked_);
    add("dispatched-checked", "dispatched at call time, constraints checked", 4, 155, dispatched_checked_);
  }

  void run_plain(std::uint64_t calls) {
    for (std::uint64_t i = 0; i < calls; ++i) plain(tensors_.x, tensors_.y);
    made_ += calls;
  }

  // Every call of every row reached its kernel.
  bool all_arrived() const { return tensors_.memory_y[0] == static_cast<std::int64_t>(made_); }

  const std::vector<Case>& cases() const { return cases_; }

 private:
  // Arguments of a function, so that they are found in registers as in a host's own code.
  template <class Layer>
  [[gnu::noinline]] static void call(const Layer& layer, const DLTensor& x, DLTensor& y, std::uint64_t calls) {
    for (std::uint64_t i = 0; i < calls; ++i) layer(x, y);
  }

  template <class Layer>
  void add(const char* name, const char* what, double at_most, unsigned at_most_instructions, const Layer& layer) {
    cases_.push_back({name, what, at_most, at_most_instructions, [this, &layer](std::uint64_t calls) {
                        call(layer, tensors_.x, tensors_.y, calls);
                        made_ += calls;
                      }});
  }

  Tensors tensors_;
  std::uint64_t made_ = 0;
  layerhub::use_kernel_mapping scope_;
  Unchecked bound_unchecked_, dispatched_unchecked_;
  Checked bound_checked_, dispatched_checked_;
  std::vector<Case> cases_;
};

// `calls` calls of one row; the difference of two such runs under callgrind is the cost of a call in instructions.
int run_one(CallBench& bench, std::string_view name, std::uint64_t calls) {
  if (name == "plain") {
    bench.run_plain(calls);
    return 0;
  }
  for (const Case& row : bench.cases()) {
    if (row.name == name) {
      row.run(calls);
      return 0;
    }
  }
  fmt::print(stderr, "call_bench: no row is named {}\n", name);
  return 2;
}

void measure(CallBench& bench, Report& report) {
  constexpr std::uint64_t calls = 1'000'000;
  report.heading("a plain indirect call");
  for (const Case& row : bench.cases()) {
    report.add(
        row.what,
        layerhub::bench::compare([&] { row.run(calls); }, [&] { bench.run_plain(calls); }, report.pairs(), calls),
        layerhub::bench::at_most(row.at_most));
  }
}

}  // namespace

int main(int argc, char** argv) {
  Report report(argc, argv);
  layerhub::set_plugin_roots({LAYERHUB_BENCH_PLUGIN_ROOT});
  CallBench bench;
  const std::string_view option = report.arguments().empty() ? "" : report.arguments()[0];
  if (option == "--names") {
    fmt::print("plain 0\n");
    for (const Case& row : bench.cases()) fmt::print("{} {}\n", row.name, row.at_most_instructions);
    return 0;
  }
  if (option.starts_with("--calls=") && report.arguments().size() > 1) {
    return run_one(bench, report.arguments()[1], std::strtoull(option.data() + 8, nullptr, 10));
  }
  measure(bench, report);
  if (!bench.all_arrived()) {
    fmt::print(stderr, "call_bench: not every call reached its kernel; the figures say nothing\n");
    return 1;
  }
  return 0;
}
