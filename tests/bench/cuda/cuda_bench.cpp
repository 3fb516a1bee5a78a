// SPDX-License-Identifier: Apache-2.0
// Kernels on an NVIDIA card, each checked and then timed by events, the L2 flushed before each call.
//
// What memory bounds is held against what the card's memory gives: a kernel that copies as many bytes in 128-bit
// accesses, and the driver's own device copy beside it, since a card on which that is far faster would make the kernel
// a poor measure. What arithmetic bounds is held against the matrix units in registers, and the host's part of a launch
// against a raw one. Both sides of a ratio alternate in one loop.
//
// The tests build this program for the emulated card as well (support/gpu_emulator). There it goes through all of it at
// small sizes and gives out no figure: how long an emulation takes says nothing of a card.
//
//   --card          which card it would be, in one line
//   --plugins DIR   where plugins are looked for first
//
// Exit status 1: a kernel is wrong, or could not be measured; 77: there is no card.
#include "baselines.hpp"
#include "card.hpp"
#include "subjects.hpp"

#include <fmt/format.h>

#include <cmath>
#include <exception>
#include <stdexcept>

namespace {

using namespace layerhub::bench;

#ifdef LAYERHUB_EMULATED_CARD
constexpr bool is_emulated = true;
constexpr Sizes sizes{.bytes = 96 << 10, .outputs = 80, .columns = 96, .prompt = 40, .decodes = {{37, 3}, {150, 8}}};
constexpr int rounds = 2, calls = 20;
#else
constexpr bool is_emulated = false;
// The MLP of a model of 8 billion weights: at one row a weight is larger than what a launch costs.
constexpr Sizes sizes{.bytes = std::size_t{512} << 20,
                      .outputs = 14336,
                      .columns = 4096,
                      .prompt = 512,
                      .decodes = {{2048, 3}, {32768, 8}}};
constexpr int rounds = 2000, calls = 200;
#endif

// The rows of the table. What is wrong or fails is a row as well, and the bench goes on with the next.
class CardReport {
 public:
  explicit CardReport(Report& report) : report_(report) {}

  int pairs() const { return report_.pairs(); }
  bool has_failed() const { return has_failed_; }

  void heading(const std::string& against) { report_.heading(against); }
  void add(const std::string& name, const Ratio& ratio, std::optional<Goal> goal) {
    if (!std::isfinite(ratio.median) || ratio.median <= 0) {
      throw std::runtime_error("the clock stood still between two events");
    }
    if (is_emulated) {
      report_.not_measured(name, goal, "right; figures of an emulated card mean nothing");
    } else {
      report_.add(name, ratio, goal);
    }
  }
  void fail(const std::string& name, std::optional<Goal> goal, const std::string& why) {
    has_failed_ = true;
    report_.not_measured(name, goal, why);
  }

  // Makes the subject of a row, holds it to its reference, measures it, and looks once more: what was timed is right.
  template <class Measure>
  void add_subject(const Card& card, const SubjectRow& row, Measure&& measure) {
    try {
      const std::unique_ptr<Subject> subject = row.make(card);
      subject->call();
      require_right(*subject);
      const auto results = measure(*subject);
      require_right(*subject);
      for (const auto& [name, ratio, goal] : results) {
        add(name, ratio, goal);
      }
    } catch (const std::exception& error) {
      fail(row.name, row.goal, error.what());
    }
  }

 private:
  static void require_right(const Subject& subject) {
    if (const std::string complaint = subject.complaint(); !complaint.empty()) {
      throw std::runtime_error("WRONG: " + complaint);
    }
  }

  Report& report_;
  bool has_failed_ = false;
};

struct Result {
  std::string name;
  Ratio ratio;
  std::optional<Goal> goal;
};

void shares_of_a_copy(CardReport& report, const Card& card) {
  // A copy moves twice what it is told to: once to read it and once to write it.
  const CardTensor from(card, f32, {static_cast<std::int64_t>(sizes.bytes / 8)});
  const CardTensor to = CardTensor::unwritten(card, f32, {static_cast<std::int64_t>(sizes.bytes / 8)});
  report.heading("a copy of as many bytes by 128-bit accesses, in the same loop");
  for (const SubjectRow& row : rows_bound_by_memory(sizes)) {
    report.add_subject(card, row, [&](Subject& subject) {
      const std::size_t bytes = subject.moved / 2 / 16 * 16;
      const auto ours = [&] { return card.nanoseconds_on_card([&] { subject.call(); }); };
      const auto copy = [&] {
        return card.nanoseconds_on_card([&] { copy_in_packs(to.view.data, from.view.data, bytes, card.stream()); });
      };
      const auto driver = [&] {
        return card.nanoseconds_on_card([&] {
          check(cudaMemcpyAsync(to.view.data, from.view.data, bytes, cudaMemcpyDeviceToDevice, card.stream()),
                "to copy");
        });
      };
      ours(), copy(), driver();
      const auto [of_copy, of_driver] = compare_with_each(report.pairs(), ours, copy, driver);
      return std::vector<Result>{
          {row.name, of_copy.inverse(), row.goal},
          {"  against the driver's copy", of_driver.inverse(), std::nullopt}};
    });
  }
}

void shares_of_the_matrix_units(CardReport& report, const Card& card) {
  report.heading("multiply-adds of the matrix units in registers, in the same loop");
  for (const SubjectRow& row : rows_bound_by_arithmetic(sizes)) {
    report.add_subject(card, row, [&](Subject& subject) {
      const auto ours = [&] { return card.nanoseconds_on_card([&] { subject.call(); }) / subject.multiply_adds; };
      const auto units = [&] {
        double made = 0;
        const double took =
            card.nanoseconds_on_card([&] { made = multiply_in_registers(subject.multiplied, rounds, card.stream()); });
        return took / made;
      };
      ours(), units();
      return std::vector<Result>{{row.name, compare_measured(ours, units, report.pairs()).inverse(), row.goal}};
    });
  }
}

// The host's time of a call, of calls few enough that the stream never makes the host wait.
void launches(CardReport& report, const Card& card) {
  CardTensor x(card, f32, {1, 128}), y = CardTensor::unwritten(card, f32, {1, 64});
  SiluAndMul layer;
  auto prepared = layerhub::prepare(layer, x.view, y.view);
  const auto host_time = [&](const auto& call) {
    const double nanoseconds = nanoseconds_of([&] {
      for (int i = 0; i < calls; ++i) {
        call();
      }
    });
    card.synchronize();
    return nanoseconds / calls;
  };
  const auto raw = [&] { return host_time([&] { launch_nothing(card.stream()); }); };
  const auto add = [&](const char* name, const auto& call) {
    const auto ours = [&] { return host_time(call); };
    ours(), raw();
    report.add(name, compare_measured(ours, raw, report.pairs()), at_most(1.1));
  };
  report.heading("a raw launch: the host's part");
  add("SiluAndMul [1 x 64], a prepared call", [&] { prepared(); });
  add("SiluAndMul [1 x 64], a bound layer", [&] { layer(x.view, y.view); });
}

int measure(Report& report) {
  std::vector<std::string> roots{LAYERHUB_CARD_PLUGIN_ROOT};
  bool asks_for_card = false;
  for (auto argument = report.arguments().begin(); argument != report.arguments().end(); ++argument) {
    if (*argument == "--card") {
      asks_for_card = true;
    } else if (*argument == "--plugins" && argument + 1 != report.arguments().end()) {
      roots.insert(roots.begin(), *++argument);
    } else {
      fmt::print(stderr, "{}: unknown option, or its value is missing\n", *argument);
      return 2;
    }
  }
  layerhub::set_plugin_roots(roots);
  const layerhub::DeviceList cards = layerhub::list_devices(kDLCUDA);
  if (cards.devices.empty()) {
    fmt::print(stderr, "cuda: {}; nothing is measured\n", cards.reason);
    return 77;
  }
  const layerhub::DeviceInfo& info = cards.devices.front();
  fmt::print("{} ({}), {}\n", info.name, layerhub::to_string(info.device), info.driver);
  if (asks_for_card) {
    return 0;
  }
  const Card card;
  const layerhub::Stream stream = layerhub::Stream::borrow(info.device, card.stream());
  const layerhub::use_stream on_stream(stream);
  const layerhub::use_kernel_mapping scope(plugins_for_cards());
  CardReport rows(report);
  shares_of_a_copy(rows, card);
  shares_of_the_matrix_units(rows, card);
  launches(rows, card);
  return rows.has_failed() ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) { return layerhub::bench::run(argc, argv, {""}, measure); }
