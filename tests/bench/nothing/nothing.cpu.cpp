// SPDX-License-Identifier: Apache-2.0
// Two layers that do next to nothing, so that a call of one costs what calling costs: the kernel adds one to the first
// element of y, by which the host knows that every call arrived. Unchecked takes any tensors, so that the host has
// nothing to check; Checked declares what most elementwise layers do.
#include <layerhub/sdk/kernel.hpp>

#include <cstdint>

using namespace layerhub::sdk;

namespace {

struct Unchecked {
  static constexpr std::string_view name = "Unchecked";
  static constexpr std::array arguments{input("x"), output("y")};
};

struct Checked {
  static constexpr std::string_view name = "Checked";
  static constexpr std::array arguments{input("x"), output("y")};
  static constexpr std::array constraints{dtype_in("x", i64), same_dtype("y", "x"), same_shape("y", "x")};
};

struct Nothing {
  static void forward(const lh_call& call) { ++*static_cast<std::int64_t*>(call.out[0]->data); }
};
struct NothingUnchecked : Nothing {
  static constexpr std::uint32_t traits = LH_TRAIT_DETERMINISTIC | LH_TRAIT_NO_HOST_SYNC | LH_TRAIT_CHECKS_TENSORS;
};
struct NothingChecked : Nothing {};

LAYERHUB_KERNEL(NothingUnchecked, Unchecked, "nothing");
LAYERHUB_KERNEL(NothingChecked, Checked, "nothing");

}  // namespace
