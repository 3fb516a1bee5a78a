// SPDX-License-Identifier: Apache-2.0
// How a figure is taken on a machine that others use at the same time: as a ratio of two things that alternate,
// A B A B ..., so that whatever slows the machine slows both. At least 21 pairs; the median of the ratios of the pairs
// is the figure, the quartiles say how far it can be trusted.
//
// Where there is nothing to alternate with, only a figure that was set, a row says so: it has samples, no pairs.
//
// Steal is the share of time that the hypervisor gave to somebody else; a pair with more than 1 % of it is taken again,
// as often as there are pairs twice over.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace layerhub::bench {

// Of ours to theirs, in time; inverse() is how many times faster ours is.
struct Ratio {
  double median = 0, p25 = 0, p75 = 0;
  double ours = 0, theirs = 0;  // nanoseconds, medians: they tell the order of magnitude, no more
  int pairs = 0, repeated = 0;
  double steal = 0;  // the share over all pairs, those taken again included
  bool is_to_constant = false;

  Ratio inverse() const {
    Ratio faster = *this;
    faster.median = 1 / median;
    faster.p25 = 1 / p75;
    faster.p75 = 1 / p25;
    return faster;
  }
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
      if (field == 7) {
        time.stolen = ticks;
      }
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

// Ours against each of several others, all in one loop. Each returns the nanoseconds that it took, however it comes to
// know. What they do first is theirs to warm up.
template <class Ours, class... Theirs>
std::array<Ratio, sizeof...(Theirs)> compare_with_each(int pairs, Ours&& ours, Theirs&&... theirs) {
  constexpr std::size_t n = sizeof...(Theirs);
  std::vector<double> our_times;
  std::array<std::vector<double>, n> their_times, ratios;
  const ProcessorTime start = ProcessorTime::now();
  int made = 0, repeated = 0;
  while (made < pairs) {
    const ProcessorTime before = ProcessorTime::now();
    const double our_time = ours();
    const std::array<double, n> took{theirs()...};  // in this order
    if (ProcessorTime::now().share_stolen_since(before) > 0.01 && repeated < 2 * pairs) {
      ++repeated;
      continue;
    }
    ++made;
    our_times.push_back(our_time);
    for (std::size_t i = 0; i < n; ++i) {
      their_times[i].push_back(took[i]);
      ratios[i].push_back(our_time / took[i]);
    }
  }
  std::array<Ratio, n> results;
  for (std::size_t i = 0; i < n; ++i) {
    results[i] = {quantile(ratios[i], 0.5),
                  quantile(ratios[i], 0.25),
                  quantile(ratios[i], 0.75),
                  quantile(our_times, 0.5),
                  quantile(their_times[i], 0.5),
                  made,
                  repeated,
                  ProcessorTime::now().share_stolen_since(start),
                  false};
  }
  return results;
}

template <class Ours, class Theirs>
Ratio compare_measured(Ours&& ours, Theirs&& theirs, int pairs) {
  return compare_with_each(pairs, ours, theirs)[0];
}

// Ours to a figure that was set.
template <class Ours>
Ratio compare_to_constant(Ours&& ours, double constant, int samples) {
  Ratio ratio = compare_measured(ours, [constant] { return constant; }, samples);
  ratio.is_to_constant = true;
  return ratio;
}

// Pairs that are timed here, each side run once before it counts. `calls` is how often both do what they measure when
// they are run once: the times are of one.
template <class Ours, class Theirs>
Ratio compare(Ours&& ours, Theirs&& theirs, int pairs, std::uint64_t calls = 1) {
  ours();
  theirs();
  const auto one_of = [calls](auto& body) { return nanoseconds_of(body) / static_cast<double>(calls); };
  return compare_measured([&] { return one_of(ours); }, [&] { return one_of(theirs); }, pairs);
}

}  // namespace layerhub::bench
