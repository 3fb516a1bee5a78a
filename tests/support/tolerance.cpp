// SPDX-License-Identifier: Apache-2.0
#include "support/tolerance.hpp"

#include <layerhub/sdk/dtype.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace layerhub::testing {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

}  // namespace

lh_tolerance tolerance_for(const lh_kernel& kernel, DLDataType dtype) {
  lh_tolerance widest{};
  for (std::uint32_t i = 0; i < kernel.n_tolerances; ++i) {
    const lh_tolerance& row = kernel.tolerances[i];
    if (sdk::same(row.dtype, dtype)) {
      return row;
    }
    widest.relative = std::max(widest.relative, row.relative);
    widest.absolute = std::max(widest.absolute, row.absolute);
    widest.max_nmse = std::max(widest.max_nmse, row.max_nmse);
  }
  return widest;
}

std::string difference(const std::vector<double>& got, const std::vector<double>& want, const lh_tolerance& allowed) {
  double error = 0;
  double power = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const bool is_same = got[i] == want[i] || (std::isnan(want[i]) && std::isnan(got[i]));
    const double off = is_same ? 0 : std::abs(got[i] - want[i]);
    const double bound = std::isfinite(want[i]) ? allowed.absolute + allowed.relative * std::abs(want[i]) : 0;
    if (!(off <= bound)) {
      return "[" + std::to_string(i) + "] is " + number(got[i]) + ", want " + number(want[i]) + " (off by " +
             number(off) + ", allowed " + number(bound) + ")";
    }
    error += off * off;
    power += std::isfinite(want[i]) ? want[i] * want[i] : 0;
  }
  if (allowed.max_nmse != 0 && error > allowed.max_nmse * power) {
    return ": its mean square error is " + number(error / power) + " of its mean square, allowed " +
           number(allowed.max_nmse);
  }
  return {};
}

}  // namespace layerhub::testing
