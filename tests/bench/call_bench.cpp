// SPDX-License-Identifier: Apache-2.0
// What does a call through a layer cost, against a plain indirect call of the same kernel?
// Bars: bound, nothing to check <= 1.5x; bound, constraints checked <= 3x; dispatched at call time <= 1.5x and <= 4x.
// Instructions, counted by callgrind, are the gate; times are a report: they depend on the processor, and what a few
// instructions cost is lost in what else a core does at the same time.
//
// A gate bounds what that call consists of, so that one more step in the way of every call is seen. bound, 50: the
// plain call's 20, the slot with its epoch and scope, the mark that keeps a binding from being retired, the thread's
// lh_call. bound-checked, 145: the constraints of Checked beside, some 80 in straight-line code. dispatched-checked,
// 155: the table by device beside, some 5. prepared, 70: what was checked beforehand costs less than half of
// bound-checked. valgrind knows no AVX-512, so the kernel of level 2 is called: it is the same few instructions at each
// level, and the way to it is the host's, which has one.
//
// The kernel adds one to a counter, so what is left is the way to it: the views of the tensors, the slot of their
// device, the scope, the constraints, lh_call. The counter proves that every call reached its kernel.
//
// The plain call is that kernel as a host would call it that has nothing but the pointer to its function: the same
// machine code, the two tensors put into an lh_call, the status looked at. A function of the host's own, which takes
// the tensors in registers and returns nothing, has half the instructions, though not everywhere the shorter time; it
// is there for comparison.
//
//   call_bench                     the table of ratios
//   call_bench --calls=N ROW       only N calls of one row, for callgrind; tests/bench/run --instructions does that
//   call_bench --names             the rows and their bars in instructions
#include "bench/support/host.hpp"
#include "bench/support/report.hpp"

#include "dispatch/binding.hpp"

#include <layerhub/layerhub.hpp>

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace layerhub::bench;

struct Tensors {
  std::array<std::int64_t, 128> memory_x{}, memory_y{};
  std::array<std::int64_t, 2> shape{1, 128}, strides{128, 1};
  DLTensor x = view(memory_x.data()), y = view(memory_y.data());

  DLTensor view(std::int64_t* data) { return {data, {kDLCPU, 0}, 2, {kDLInt, 64, 1}, shape.data(), strides.data(), 0}; }
};

// The kernel that a layer is bound to, without the layer: a function behind a pointer that the compiler can't see
// through. An lh_call names its tensors by arrays, which are this object's.
class BareKernel {
 public:
  // Calls the layer once: that binds it, and leaves the thread's lh_call as the kernel was given it.
  template <class Layer>
  BareKernel(const Layer& layer, const DLTensor& x, DLTensor& y) : in_{&x}, out_{&y} {
    layer(x, y);
    const layerhub::detail::DispatchRow& row = layer.layer_ref().slot->table().first;
    const auto& binding = static_cast<const layerhub::dispatch::Binding&>(*row.binding);
    forward_ = binding.forward;
    instance_ = binding.instance;
    call_ = layerhub::detail::attached_thread().frame.call;
    call_.in = in_;
    call_.out = out_;
  }
  BareKernel(const BareKernel&) = delete;
  BareKernel& operator=(const BareKernel&) = delete;

  void operator()(const DLTensor& x, DLTensor& y) {
    in_[0] = &x;
    out_[0] = &y;
    prepared();
  }
  // With the tensors that are there.
  void prepared() {
    if (forward_(instance_, &call_, &error_) != LH_OK) {
      refused();
    }
  }

 private:
  [[noreturn, gnu::cold, gnu::noinline]] static void refused() {
    throw std::runtime_error("call_bench: the kernel refused the plain call; the figures would say nothing");
  }

  std::int32_t (*forward_)(const lh_instance*, const lh_call*, lh_error*);
  lh_instance* instance_;
  lh_call call_;
  lh_error error_{sizeof error_, 0, nullptr, 0, 0};
  const DLTensor* in_[1];
  DLTensor* out_[1];
};

void count(const DLTensor&, DLTensor& y) { ++*static_cast<std::int64_t*>(y.data); }
void (*volatile own_function)(const DLTensor&, DLTensor&) = count;

struct Case {
  std::string name;
  std::string what;
  double at_most;                 // against the plain call, in time
  unsigned at_most_instructions;  // of one call, as callgrind counts them; 0: no bar
  std::function<void(std::uint64_t calls)> run;
};

class CallBench {
 public:
  CallBench() : scope_(built_plugins()) {
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
    call(kernel_, tensors_.x, tensors_.y, calls);
    made_ += calls;
  }
  void run_own_function(std::uint64_t calls) {
    call(own_function, tensors_.x, tensors_.y, calls);
    made_ += calls;
  }

  // Every call of every row reached its kernel.
  bool all_arrived() const { return tensors_.memory_y[0] == static_cast<std::int64_t>(made_); }

  const std::vector<Case>& cases() const { return cases_; }

 private:
  // Arguments of a function, so that they are found in registers as in a host's own code.
  template <class Callee>
  [[gnu::noinline]] static void call(Callee& callee, const DLTensor& x, DLTensor& y, std::uint64_t calls) {
    for (std::uint64_t i = 0; i < calls; ++i) callee(x, y);
  }

  template <class Layer>
  void add(const char* name, const char* what, double at_most, unsigned at_most_instructions, const Layer& layer) {
    cases_.push_back({name, what, at_most, at_most_instructions, [this, &layer](std::uint64_t calls) {
                        call(layer, tensors_.x, tensors_.y, calls);
                        made_ += calls;
                      }});
  }

  Tensors tensors_;
  layerhub::use_kernel_mapping scope_;
  Unchecked bound_unchecked_, dispatched_unchecked_;
  Checked bound_checked_, dispatched_checked_;
  BareKernel kernel_{dispatched_unchecked_, tensors_.x, tensors_.y};
  std::uint64_t made_ = 1;  // by the bare kernel's layer
  std::vector<Case> cases_;
};

// `calls` calls of one row; the difference of two such runs under callgrind is the cost of a call in instructions.
int run_one(CallBench& bench, std::string_view name, std::uint64_t calls) {
  if (name == "plain") {
    bench.run_plain(calls);
    return 0;
  }
  if (name == "own-function") {
    bench.run_own_function(calls);
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

// Each row against both plain calls in one loop.
void measure_calls(CallBench& bench, Report& report) {
  constexpr std::uint64_t calls = 1'000'000;
  std::vector<Ratio> with_own_function;
  report.heading("a plain indirect call of the kernel (time: a report)");
  for (const Case& row : bench.cases()) {
    const auto one = [](auto&& run) { return [run] { return nanoseconds_of([&] { run(calls); }) / calls; }; };
    const auto ours = one([&](std::uint64_t n) { row.run(n); });
    const auto plain = one([&](std::uint64_t n) { bench.run_plain(n); });
    const auto own_function = one([&](std::uint64_t n) { bench.run_own_function(n); });
    ours(), plain(), own_function();
    const std::array<Ratio, 2> ratios = compare_with_each(report.pairs(), ours, plain, own_function);
    report.add(row.what, ratios[0], at_most(row.at_most));
    with_own_function.push_back(ratios[1]);
  }
  report.heading("a plain indirect call of a host's own function");
  for (std::size_t i = 0; i < with_own_function.size(); ++i) {
    report.add(bench.cases()[i].what, with_own_function[i], std::nullopt);
  }
}

// The smallest call that does something: the rows of a token in a small model.
void measure_whole_call(Report& report) {
  constexpr std::uint64_t calls = 200'000;
  constexpr std::int64_t width = 128;
  SiluAndMul layer;
  HostTensor x(f32, {1, 2 * width}), y(f32, {1, width});
  BareKernel kernel(layer, x.view, y.view);
  auto prepared = layerhub::prepare(layer, x.view, y.view);
  const auto run = [](auto&& body) {
    return [body] {
      for (std::uint64_t i = 0; i < calls; ++i) body();
    };
  };
  const auto bare = run([&] { kernel.prepared(); });
  report.heading("the bare kernel, its lh_call prepared");
  report.add("SiluAndMul float32 [1 x 128], dispatched at call time and checked",
             compare(run([&] { layer(x.view, y.view); }), bare, report.pairs(), calls), at_most(1.1));
  report.add("SiluAndMul float32 [1 x 128], a prepared call",
             compare(run([&] { prepared(); }), bare, report.pairs(), calls), std::nullopt);
}

}  // namespace

int main(int argc, char** argv) {
  return layerhub::bench::run(argc, argv, {"--names", "--calls="}, [](Report& report) {
    CallBench bench;
    const std::string_view option = report.arguments().empty() ? "" : report.arguments()[0];
    if (option == "--names") {
      fmt::print("plain 0\nown-function 0\n");
      for (const Case& row : bench.cases()) fmt::print("{} {}\n", row.name, row.at_most_instructions);
      return 0;
    }
    if (option.starts_with("--calls=") && report.arguments().size() > 1) {
      return run_one(bench, report.arguments()[1], std::strtoull(option.data() + 8, nullptr, 10));
    }
    measure_calls(bench, report);
    measure_whole_call(report);
    if (!bench.all_arrived()) {
      fmt::print(stderr, "call_bench: not every call reached its kernel; the figures say nothing\n");
      return 1;
    }
    return 0;
  });
}
