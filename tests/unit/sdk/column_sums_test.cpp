// SPDX-License-Identifier: Apache-2.0
#include <layerhub/sdk/column_sums.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace layerhub::sdk {
namespace {

TEMPLATE_TEST_CASE("column sums are those of double precision, with the same bits wherever the columns are cut", "",
                   float, bfloat16) {
  for (const std::int64_t rows : {0, 1, 127, 128, 129, 1000}) {
    for (const std::int64_t columns : {1, 63, 64, 130, 200}) {
      std::vector<float> x(static_cast<std::size_t>(rows * columns));
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 2654435761u % 1000) / 500 - 0.9f;
      const auto term = [&](std::int64_t r, std::int64_t c, auto extent) {
        return load(x.data() + r * columns + c, extent);
      };
      std::vector<TestType> whole(static_cast<std::size_t>(columns + 1), from_float<TestType>(77.f)), cut = whole;
      write_column_sums(whole.data(), 0, columns, rows, term);
      for (std::int64_t c = 0; c < columns; c += column_grain) {
        write_column_sums(cut.data(), c, std::min(c + column_grain, columns), rows, term);
      }
      CHECK(std::memcmp(whole.data(), cut.data(), whole.size() * sizeof(TestType)) == 0);
      CHECK(to_float(whole.back()) == 77.f);
      for (std::int64_t c = 0; c < columns; ++c) {
        double want = 0;
        for (std::int64_t r = 0; r < rows; ++r)
          want += static_cast<double>(x[static_cast<std::size_t>(r * columns + c)]);
        const double off = std::abs(static_cast<double>(to_float(whole[static_cast<std::size_t>(c)])) - want);
        if (off > 1e-4 + (sizeof(TestType) == 4 ? 1e-6 : 4e-3) * std::abs(want)) FAIL(rows << " rows, column " << c);
      }
    }
  }
}

}  // namespace
}  // namespace layerhub::sdk
