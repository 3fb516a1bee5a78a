// SPDX-License-Identifier: Apache-2.0
// How a figure is taken on a machine that others use at the same time: as a ratio of two things that alternate
// within one process, A B A B ..., so that whatever slows the machine slows both. At least 21 pairs; the median of
// the ratios of the pairs is the figure, the quartiles say how far it can be trusted. A bar "at most" holds when
// the upper quartile meets it.
//
// Steal is the share of time that the hypervisor gave to somebody else; a pair with more than 1 % of it is taken again.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::bench {

struct Ratio {
  double median = 0, p25 = 0, p75 = 0;
  double nanoseconds_a = 0, nanoseconds_b = 0;  // of one call, the medians: they tell the order of magnitude, no more
  int pairs = 0, repeated = 0;
  double steal = 0;  // the share over all pairs that count
};

// Ticks of all processors since the machine started.
struct ProcessorTime {
  std::uint64_t all = 0, stolen = 0;

  static ProcessorTime now() {
    std::ifstream stat("/proc/stat");
    std::string word;
    stat >> word;
    ProcessorTime time;
    std::uint64_t ticks = 0;
    for (int field = 0; field < 8 && stat >> ticks; ++field) {
      time.all += ticks;
      if (field == 7) time.stolen = ticks;
    }
    return time;
  }
  double share_stolen_since(const ProcessorTime& start) const {
    return all == start.all ? 0 : static_cast<double>(stolen - start.stolen) / static_cast<double>(all - start.all);
  }
};

template <class Body>
double nanoseconds_of(Body&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

inline double quantile(std::vector<double> values, double q) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

// b against a; both run `calls` calls of what they measure each time they are run. Both are run once before it counts.
template <class A, class B>
Ratio compare(A&& a, B&& b, std::uint64_t calls, int pairs = 21) {
  a();
  b();
  Ratio result;
  std::vector<double> ratios, times_a, times_b;
  const ProcessorTime start = ProcessorTime::now();
  while (result.pairs < pairs) {
    const ProcessorTime before = ProcessorTime::now();
    const double time_a = nanoseconds_of(a), time_b = nanoseconds_of(b);
    if (ProcessorTime::now().share_stolen_since(before) > 0.01 && result.repeated < 2 * pairs) {
      ++result.repeated;
      continue;
    }
    ++result.pairs;
    ratios.push_back(time_b / time_a);
    times_a.push_back(time_a / static_cast<double>(calls));
    times_b.push_back(time_b / static_cast<double>(calls));
  }
  result.median = quantile(ratios, 0.5);
  result.p25 = quantile(ratios, 0.25);
  result.p75 = quantile(ratios, 0.75);
  result.nanoseconds_a = quantile(times_a, 0.5);
  result.nanoseconds_b = quantile(times_b, 0.5);
  result.steal = ProcessorTime::now().share_stolen_since(start);
  return result;
}

// One row of the table, and with it the bar that PERFORMANCE figures are held to.
struct Row {
  std::string what;
  Ratio ratio;
  double at_most;
  bool holds() const { return ratio.p75 <= at_most; }
};

inline void print_table(std::string_view against, const std::vector<Row>& rows) {
  fmt::print("{:<52} {:>8} {:>7} {:>7} {:>8} {:>9} {:>7}\n", fmt::format("against {}", against), "median", "p25", "p75",
             "at most", "ns", "steal");
  for (const Row& row : rows) {
    fmt::print("{:<52} {:>7.2f}x {:>6.2f}x {:>6.2f}x {:>7.2f}x {:>9.1f} {:>6.1f}%  {}\n", row.what, row.ratio.median,
               row.ratio.p25, row.ratio.p75, row.at_most, row.ratio.nanoseconds_b, 100 * row.ratio.steal,
               row.holds() ? "holds" : "does not hold");
  }
}

inline void print_json(std::string_view bench, std::string_view against, const std::vector<Row>& rows) {
  fmt::print("{{\"bench\": \"{}\", \"against\": \"{}\", \"rows\": [", bench, against);
  for (const Row& row : rows) {
    const Ratio& r = row.ratio;
    fmt::print(
        "{}{{\"what\": \"{}\", \"median\": {:.4f}, \"p25\": {:.4f}, \"p75\": {:.4f}, \"at_most\": {}, "
        "\"holds\": {}, \"nanoseconds\": {:.2f}, \"nanoseconds_against\": {:.2f}, \"pairs\": {}, "
        "\"repeated\": {}, \"steal\": {:.4f}}}",
        &row == rows.data() ? "" : ", ", row.what, r.median, r.p25, r.p75, row.at_most, row.holds(), r.nanoseconds_b,
        r.nanoseconds_a, r.pairs, r.repeated, r.steal);
  }
  fmt::print("]}}\n");
}

}  // namespace layerhub::bench
