// SPDX-License-Identifier: Apache-2.0
// Activations in 8 bits are near to what they were rounded from, whatever a row holds: layerhub/linear's products show
// only sums of them, in which a small block that was lost does not show.
#include "linear/rounded_rows.hpp"

#include "support/catch.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <random>
#include <tuple>
#include <vector>

namespace layerhub::linear {
namespace {

using Values = std::vector<float>;
using Make = std::function<Values(std::int64_t row)>;  // the same values each time

constexpr std::int64_t blocks = 11, columns = blocks * rounded_block;
constexpr double least_scale = 0x1p-126;

// What a block should be rounded to, from its numbers alone.
struct Wanted {
  std::optional<std::size_t> outlier;  // its column
  double scale = 0;                    // of the others
};

Wanted wanted_of(const float* block) {
  const auto of = [&](std::optional<std::size_t> but) {
    double largest = 0, energy = 0;
    std::size_t place = 0;
    for (std::size_t i = 0; i < rounded_block; ++i) {
      const double magnitude = i == but ? 0 : std::abs(static_cast<double>(block[i]));
      energy += magnitude * magnitude;
      place = magnitude > largest ? i : place;
      largest = std::max(largest, magnitude);
    }
    return std::tuple(largest, place, largest * largest > 0.75 * energy);
  };
  const auto [largest, place, stands_out] = of({});
  // Squares that no float holds find none.
  if (stands_out && largest > 1e-18 && largest < 1e18) {
    return {place, std::get<0>(of(place)) / 127};
  }
  return {{}, largest / 127};
}

// Rows in memory that something else was in, between bytes that stay.
class Rounded {
 public:
  explicit Rounded(std::int64_t count) : memory_(RoundedRows::bytes(count, blocks) / 8 + 1, canary) {
    rows_.emplace(memory_.data(), count, blocks);
  }
  ~Rounded() { CHECK(memory_.back() == canary); }

  // Block by block of all rows, as threads that make a block of each do it.
  const RoundedRows& round(const Make& make) {
    for (std::int64_t b = blocks - 1; b >= 0; --b) {
      for (std::int64_t r = 0; r < rows_->rows(); ++r) {
        rows_->round_block(r, b, make(r).data() + b * rounded_block);
      }
    }
    for (std::int64_t r = 0; r < rows_->rows(); r += group_rows) {
      rows_->finish(r / group_rows);
    }
    return *rows_;
  }

 private:
  static constexpr std::uint64_t canary = 0xa5a5a5a5'fefefefe;
  std::vector<std::uint64_t> memory_;
  std::optional<RoundedRows> rows_;
};

// A block as products see it: what its bytes stand for, what offsets of the weight are multiplied with.
struct Seen {
  double scale = 0, sum = 0;
};

Seen see(const RoundedRows& rows, std::int64_t row, std::int64_t block) {
  const int count = rows.rows_of_group(row / group_rows), index = static_cast<int>(row % group_rows);
  const std::byte* record = rows.record(row / group_rows, block);
  const double sum = RoundedRows::scaled_sums(record, count)[index];
  if (!rows.have_units()) {
    return {RoundedRows::scales(record, count)[index], sum};
  }
  const std::int32_t twice = RoundedRows::multiples(record, count)[index];
  CHECK((twice & 0xffff) == twice >> 16);
  return {(twice & 0xffff) * static_cast<double>(*rows.unit(row)), sum * *rows.unit(row)};
}

void check_row(const RoundedRows& rows, std::int64_t row, const Values& x) {
  double largest_scale = 0, largest_outlier = 0;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const Wanted wanted = wanted_of(x.data() + b * rounded_block);
    largest_scale = std::max(largest_scale, wanted.scale);
    largest_outlier = wanted.outlier
                          ? std::max<double>(largest_outlier, std::abs(x[b * rounded_block + *wanted.outlier]))
                          : largest_outlier;
  }
  const double unit =
      rows.have_units() ? std::max({largest_scale / 32767, largest_outlier * 0x1p-100, least_scale}) : 0;
  CHECK((!rows.have_units() || std::abs(*rows.unit(row) - unit) <= 1e-6 * unit));

  auto outlier = rows.outliers(row / group_rows).begin();
  while (outlier != rows.outliers(row / group_rows).end() && outlier->row() != row % group_rows) {
    ++outlier;
  }
  for (std::int64_t b = 0; b < blocks; ++b) {
    const float* block = x.data() + b * rounded_block;
    const Wanted wanted = wanted_of(block);
    const Seen seen = see(rows, row, b);
    CAPTURE(b, wanted.scale, seen.scale, unit);
    CHECK(seen.scale <= 1.0001 * std::max(wanted.scale, least_scale) + 0.501 * unit);

    double sum = 0, magnitudes = 0;
    for (std::size_t i = 0; i < rounded_block; ++i) {
      double value =
          RoundedRows::values(rows.record(row / group_rows, b), static_cast<int>(row % group_rows))[i] * seen.scale;
      if (i == wanted.outlier) {
        REQUIRE(outlier != rows.outliers(row / group_rows).end());
        CHECK((outlier->row() == row % group_rows && outlier->block() == b && outlier->column() == i));
        CHECK(value == 0);
        value = outlier++->value;
        CHECK(value == block[i]);
      }
      CAPTURE(i, block[i], value);
      // Half a step; where scales are multiples of a unit, each of up to 127 steps is off by half a unit at most.
      CHECK(std::abs(value - block[i]) <= 0.5001 * std::max(wanted.scale, least_scale) + 64 * unit);
      sum += value;
      magnitudes += std::abs(value);
    }
    CHECK(std::abs(seen.sum - sum) <= 1e-6 * magnitudes + 1e-44);
  }
  CHECK((outlier == rows.outliers(row / group_rows).end() || outlier->row() > row % group_rows));
}

Values normal_row(std::int64_t seed, float deviation) {
  std::mt19937_64 random(static_cast<std::uint64_t>(seed));
  std::normal_distribution<float> normal(0, 1);
  Values x(columns);
  std::generate(x.begin(), x.end(), [&] { return normal(random) * deviation; });
  return x;
}

// One row, a few, whole groups, and groups of which the last is not whole.
constexpr std::int64_t row_counts[] = {1, 4, 5, 7, 8, 14};

void check_rows(const Make& make) {
  for (const std::int64_t count : row_counts) {
    Rounded rounded(count);
    rounded.round([](std::int64_t r) { return normal_row(100 + r, 1e3f); });  // an earlier call's
    const RoundedRows& rows = rounded.round(make);
    for (std::int64_t r = 0; r < count; ++r) {
      CAPTURE(count, r);
      check_row(rows, r, make(r));
    }
  }
}

TEST_CASE("activations of any magnitude come back within half a step of their block") {
  for (const float deviation : {1.f, 1e-30f, 1e-36f, 1e30f, 1e36f}) {
    check_rows([&](std::int64_t r) { return normal_row(r, deviation); });
  }
}

TEST_CASE("a block far below the others of its row is lost by no more than the others are rounded by") {
  check_rows([](std::int64_t r) {
    Values x = normal_row(r, 1);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] *= std::exp2(-4.f * static_cast<float>(i / rounded_block));
    }
    return x;
  });
}

TEST_CASE("the other elements of an outlier's block are rounded without it") {
  check_rows([](std::int64_t r) {
    Values x = normal_row(r, 1e-3f);
    x[static_cast<std::size_t>(r) * 17] = 3e4f;
    x[columns - 1] = -7.f;
    return x;
  });
}

TEST_CASE("a row of zeros and a row with one number are kept as they are") {
  for (const float only : {0.f, 1.f, 1e12f, -1e-30f, 1e37f, -3e38f}) {
    for (const float others : {0.f, 1e-37f}) {
      check_rows([&](std::int64_t r) {
        Values x = normal_row(r, others);
        x[static_cast<std::size_t>(r * 19)] = only;
        return x;
      });
    }
  }
}

TEST_CASE("a block of zeros has no scale, whose products would be denormal numbers") {
  Rounded rounded(4);
  CHECK(see(rounded.round([](std::int64_t) { return Values(columns); }), 0, 0).scale == 0);
}

TEST_CASE("a number that is not finite leaves no finite scale for its block, and those of other rows as they are") {
  constexpr std::int64_t place = 100;
  for (const std::int64_t count : row_counts) {
    for (const float bad : {std::nanf(""), -std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
      Rounded rounded(count);
      const RoundedRows& rows = rounded.round([&](std::int64_t r) {
        Values x = normal_row(r, 1);
        x[place] = r == count / 2 ? bad : x[place];
        return x;
      });
      for (std::int64_t r = 0; r < count; ++r) {
        CAPTURE(count, r, bad);
        if (r == count / 2) {
          CHECK_FALSE(std::isfinite(rows.have_units() ? *rows.unit(r) : see(rows, r, place / rounded_block).scale));
        } else {
          check_row(rows, r, normal_row(r, 1));
        }
      }
    }
  }
}

}  // namespace
}  // namespace layerhub::linear
