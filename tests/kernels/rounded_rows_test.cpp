// SPDX-License-Identifier: Apache-2.0
// Activations in 8 bits are near to what they were rounded from, whatever a row holds: layerhub/linear's products show
// only sums of them, in which a small block that was lost does not show.
#include "linear/rounded_rows.hpp"

#include "support/catch.hpp"

#include <cmath>
#include <functional>
#include <random>
#include <vector>

namespace layerhub::linear {
namespace {

constexpr std::int64_t blocks = 11, columns = blocks * rounded_block;

// What products see of one row.
struct SeenRow {
  std::vector<double> values;      // scales and outliers applied
  std::vector<double> steps;       // of each block: what its smallest number stands for
  std::vector<double> block_sums;  // what offsets of the weight are multiplied with
  double unit = 0;                 // 0: scales are numbers of their own
};

SeenRow read(const RoundedRows& rows, std::int64_t row) {
  const int count = rows.rows_of_group(row / group_rows), index = static_cast<int>(row % group_rows);
  SeenRow seen;
  seen.unit = rows.have_units() ? *rows.unit(row) : 0;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::byte* record = rows.record(row / group_rows, b);
    const std::int32_t twice = RoundedRows::multiples(record, count)[index];
    const double factor = rows.have_units() ? seen.unit : 1;
    const double step = rows.have_units() ? (twice & 0xffff) * factor : RoundedRows::scales(record, count)[index];
    CHECK((!rows.have_units() || (twice & 0xffff) == twice >> 16));
    for (int i = 0; i < rounded_block; ++i) {
      seen.values.push_back(RoundedRows::values(record, index)[i] * step);
    }
    seen.steps.push_back(step);
    seen.block_sums.push_back(RoundedRows::scaled_sums(record, count)[index] * factor);
  }
  for (const Outlier& outlier : rows.outliers(row / group_rows)) {
    if (outlier.row() == row % group_rows) {
      seen.values[outlier.block() * rounded_block + outlier.column()] += outlier.value;
    }
  }
  return seen;
}

void check_row(const SeenRow& seen, const std::vector<float>& x) {
  for (std::size_t b = 0; b < blocks; ++b) {
    double sum = 0, magnitudes = 0;
    for (std::size_t i = b * rounded_block; i < (b + 1) * rounded_block; ++i) {
      // Half a step; where scales are multiples of a unit, each of up to 127 steps is off by half a unit at most.
      const double allowed = 0.501 * seen.steps[b] + 0.501 * 128 * seen.unit;
      CAPTURE(b, i, x[i], seen.values[i], seen.steps[b], seen.unit);
      CHECK(std::abs(seen.values[i] - static_cast<double>(x[i])) <= allowed);
      sum += seen.values[i];
      magnitudes += std::abs(seen.values[i]);
    }
    CAPTURE(b, sum, seen.block_sums[b]);
    CHECK(std::abs(seen.block_sums[b] - sum) <= 1e-6 * magnitudes + 1e-44);
  }
}

// Row r of the rows is make(r).
void check_rows(std::int64_t count, const std::function<std::vector<float>(std::int64_t)>& make) {
  std::vector<std::uint64_t> memory(RoundedRows::bytes(count, blocks) / sizeof(std::uint64_t));
  const RoundedRows rows(memory.data(), count, blocks);
  for (std::int64_t r = 0; r < count; ++r) {
    rows.round_row(r, make(r).data());
  }
  for (std::int64_t r = 0; r < count; r += group_rows) {
    rows.finish(r / group_rows);
  }
  for (std::int64_t r = 0; r < count; ++r) {
    CAPTURE(count, r);
    check_row(read(rows, r), make(r));
  }
}

std::vector<float> normal_row(std::int64_t seed, float deviation) {
  std::mt19937_64 random(static_cast<std::uint64_t>(seed));
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> x(columns);
  for (float& value : x) {
    value = normal(random) * deviation;
  }
  return x;
}

// One row, a few, whole groups, and groups of which the last is not whole.
constexpr std::int64_t row_counts[] = {1, 4, 5, 7, 8, 14};

TEST_CASE("activations of any magnitude come back within half a step of their block") {
  for (const std::int64_t count : row_counts) {
    for (const float deviation : {1.f, 1e-30f, 1e-36f, 1e30f, 1e36f}) {
      check_rows(count, [&](std::int64_t r) { return normal_row(r, deviation); });
    }
  }
}

TEST_CASE("a block far below the others of its row is lost by no more than the others are rounded by") {
  for (const std::int64_t count : row_counts) {
    check_rows(count, [](std::int64_t r) {
      std::vector<float> x = normal_row(r, 1);
      for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] *= std::exp2(-4.f * static_cast<float>(i / rounded_block));
      }
      return x;
    });
    // Those of the outliers' blocks are rounded without them.
    check_rows(count, [](std::int64_t r) {
      std::vector<float> x = normal_row(r, 1e-3f);
      x[static_cast<std::size_t>(r) * 17] = 3e4f;
      x[columns - 1] = -7.f;
      return x;
    });
  }
}

TEST_CASE("a row of zeros and a row with one number are kept as they are") {
  for (const std::int64_t count : row_counts) {
    for (const float only : {0.f, 1.f, 1e12f, -1e-30f, 1e37f, -3e38f}) {
      check_rows(count, [&](std::int64_t r) {
        std::vector<float> x(columns);
        x[static_cast<std::size_t>(r * 19)] = only;
        return x;
      });
      check_rows(count, [&](std::int64_t r) {
        std::vector<float> x = normal_row(r, 1e-37f);
        x[static_cast<std::size_t>(r * 19)] = only;
        return x;
      });
    }
  }
}

TEST_CASE("a number that is not finite leaves no finite scale for its block, and none of other rows'") {
  for (const std::int64_t count : row_counts) {
    for (const float bad : {std::nanf(""), -std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
      std::vector<std::uint64_t> memory(RoundedRows::bytes(count, blocks) / sizeof(std::uint64_t));
      const RoundedRows rows(memory.data(), count, blocks);
      for (std::int64_t r = 0; r < count; ++r) {
        std::vector<float> x = normal_row(r, 1);
        x[100] = r == count / 2 ? bad : x[100];
        rows.round_row(r, x.data());
      }
      for (std::int64_t r = 0; r < count; r += group_rows) {
        rows.finish(r / group_rows);
      }
      for (std::int64_t r = 0; r < count; ++r) {
        const SeenRow seen = read(rows, r);
        CAPTURE(count, r, bad);
        CHECK(std::isfinite(seen.unit + seen.steps[100 / rounded_block]) == (r != count / 2));
      }
    }
  }
}

}  // namespace
}  // namespace layerhub::linear
