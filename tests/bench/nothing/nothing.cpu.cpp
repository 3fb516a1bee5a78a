// SPDX-License-Identifier: Apache-2.0
// Two layers that do nothing, so that a call of one costs what calling costs. Unchecked declares no constraint, and
// allows what the host would check by default; Checked declares what most elementwise layers do.
#include <layerhub/sdk/kernel.hpp>

using namespace layerhub::sdk;

namespace {

struct Unchecked {
  static constexpr std::string_view name = "Unchecked";
  static constexpr std::array arguments{input("x"), output("y")};
  static constexpr std::array constraints{strided_ok("x"), strided_ok("y"), may_alias("y", "x")};
};

struct Checked {
  static constexpr std::string_view name = "Checked";
  static constexpr std::array arguments{input("x"), output("y")};
  static constexpr std::array constraints{dtype_in("x", f32), same_dtype("y", "x"), same_shape("y", "x")};
};

struct Nothing {
  static void forward(const lh_call&) {}
};
struct NothingUnchecked : Nothing {};
struct NothingChecked : Nothing {};

LAYERHUB_KERNEL(NothingUnchecked, Unchecked, "nothing");
LAYERHUB_KERNEL(NothingChecked, Checked, "nothing");

}  // namespace
