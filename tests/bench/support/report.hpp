// SPDX-License-Identifier: Apache-2.0
// What a bench says: rows of one kind, as a table while they are measured, and as JSON, one object a line, which
// tests/bench/run puts together.
//
// A goal holds when the worse quartile meets it: the upper one for "at most", the lower for "at least".
// A goal that does not hold is a result like any other; a bench only fails where what it measured was wrong. What can't
// be measured here has a row too, with the reason.
#pragma once

#include "bench/support/pairs.hpp"

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::bench {

struct Goal {
  enum class Bound { at_most, at_least } bound;
  double value;

  bool met_by(const Ratio& ratio) const { return bound == Bound::at_most ? ratio.p75 <= value : ratio.p25 >= value; }
};
inline Goal at_most(double value) { return {Goal::Bound::at_most, value}; }
inline Goal at_least(double value) { return {Goal::Bound::at_least, value}; }

inline std::string threads_text(unsigned threads) {
  return threads == 1 ? "1 thread" : std::to_string(threads) + " threads";
}

class Report {
 public:
  // Options that every bench takes: --json FILE appends the rows to that file, --quick measures 5 pairs in place of 21.
  // What else is given stays in `arguments`. A wrong usage ends the process with status 2.
  Report(int argc, char** argv);

  int pairs() const { return quick_ ? 5 : 21; }
  bool quick() const { return quick_; }
  const std::vector<std::string>& arguments() const { return arguments_; }

  // Begins what one command measures, of several: its tables stand below it.
  void command(const std::string& line);
  // Begins a table: what the rows below are measured against. The same again goes on with the table.
  void heading(const std::string& against);
  void add(const std::string& name, const Ratio& ratio, std::optional<Goal> goal);
  void not_measured(const std::string& name, std::optional<Goal> goal, const std::string& reason);

 private:
  void write(const std::string& line) const;

  bool quick_ = false;
  std::string json_, against_;
  std::vector<std::string> arguments_;
};

// What a bench's main does. A std::exception of `measure` ends the process with one line and status 1, its folders
// removed. own: which argument may come first beside those of every bench: a name, NAME= for one with a value, or
// nothing for any; others are refused.
using Own = std::initializer_list<std::string_view>;
int run(int argc, char** argv, Own own, int (*measure)(Report&));
inline int run(int argc, char** argv, int (*measure)(Report&)) { return run(argc, argv, {}, measure); }

}  // namespace layerhub::bench
