// SPDX-License-Identifier: Apache-2.0
#include "bench/support/report.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <string_view>

namespace layerhub::bench {
namespace {

std::string duration(double nanoseconds) {
  if (nanoseconds == 0) {
    return "-";  // a ratio of something else than times
  }
  if (nanoseconds < 1e4) {
    return fmt::format("{:.{}f} ns", nanoseconds, nanoseconds < 1 ? 4 : 1);
  }
  return nanoseconds < 1e7 ? fmt::format("{:.1f} us", nanoseconds / 1e3) : fmt::format("{:.1f} ms", nanoseconds / 1e6);
}

std::string text_of(const std::optional<Goal>& goal) {
  return goal ? fmt::format("{} {:g}", goal->bound == Goal::Bound::at_most ? "<=" : ">=", goal->value) : "";
}

nlohmann::json goal_json(const std::optional<Goal>& goal) {
  return goal ? nlohmann::json(goal->value) : nlohmann::json();
}

}  // namespace

Report::Report(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--quick") {
      quick_ = true;
    } else if (argument == "--json" && i + 1 < argc) {
      json_ = argv[++i];
    } else if (argument == "--json") {
      fmt::print(stderr, "--json: the file's name is missing; give --json FILE\n");
      std::exit(2);
    } else {
      arguments_.emplace_back(argument);
    }
  }
}

void Report::command(const std::string& line) {
  against_.clear();
  fmt::print("\n{}\n", line);
  std::fflush(stdout);
}

void Report::heading(const std::string& against) {
  if (against == against_) {
    return;
  }
  against_ = against;
  fmt::print("\n{:<72} {:>7} {:>7} {:>7} {:>8} {:>10} {:>10} {:>6}\n", "against " + against, "median", "p25", "p75",
             "goal", "ours", "theirs", "steal");
  std::fflush(stdout);
}

void Report::add(const std::string& name, const Ratio& ratio, std::optional<Goal> goal) {
  fmt::print("{:<72} {:>7.3f} {:>7.3f} {:>7.3f} {:>8} {:>10} {:>10} {:>5.1f}%  {}\n", name, ratio.median, ratio.p25,
             ratio.p75, text_of(goal), duration(ratio.ours), ratio.is_to_constant ? "constant" : duration(ratio.theirs),
             100 * ratio.steal,
             !goal                 ? ""
             : goal->met_by(ratio) ? "met"
                                   : "not met");
  std::fflush(stdout);
  write(nlohmann::json{{"name", name},
                       {"against", against_},
                       {"ratio", ratio.median},
                       {"p25", ratio.p25},
                       {"p75", ratio.p75},
                       {"goal", goal_json(goal)},
                       {"goal_text", text_of(goal)},
                       {"met", goal ? nlohmann::json(goal->met_by(ratio)) : nlohmann::json()},
                       {"nanoseconds", ratio.ours},
                       {"nanoseconds_against", ratio.theirs},
                       {ratio.is_to_constant ? "samples" : "pairs", ratio.pairs},
                       {"repeated", ratio.repeated},
                       {"steal", ratio.steal}}
            .dump());
}

void Report::not_measured(const std::string& name, std::optional<Goal> goal, const std::string& reason) {
  fmt::print("{:<72} {:>32}  not measured: {}\n", name, text_of(goal), reason);
  std::fflush(stdout);
  write(nlohmann::json{{"name", name},
                       {"against", against_},
                       {"ratio", nullptr},
                       {"p25", nullptr},
                       {"p75", nullptr},
                       {"goal", goal_json(goal)},
                       {"goal_text", text_of(goal)},
                       {"met", nullptr},
                       {"reason", reason}}
            .dump());
}

void Report::write(const std::string& line) const {
  if (json_.empty()) {
    return;
  }
  std::ofstream file(json_, std::ios::app);
  file << line << "\n";
  if (!file.flush()) {
    fmt::print(stderr, "{}: it cannot be written; give another --json\n", json_);
    std::exit(2);
  }
}

int run(int argc, char** argv, Own own, int (*measure)(Report&)) {
  try {
    Report report(argc, argv);
    const auto is_first = [&](std::string_view name) {
      const std::string& first = report.arguments()[0];
      return name.empty() || first == name || (name.ends_with('=') && first.starts_with(name));
    };
    if (!report.arguments().empty() && std::none_of(own.begin(), own.end(), is_first)) {
      fmt::print(stderr, "{}: unknown option; there are --quick and --json FILE\n", report.arguments()[0]);
      return 2;
    }
    return measure(report);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}

}  // namespace layerhub::bench
