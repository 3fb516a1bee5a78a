// SPDX-License-Identifier: Apache-2.0
// Float32 products: fused with the addition where the level has that.
#include "multiply.inl.hpp"

namespace {

// x is not looked at.
struct MultiplyFloats {
  static constexpr std::string_view name = "MultiplyFloats";
  static constexpr std::array arguments{input("x"), output("made")};
  static constexpr std::array constraints{dtype_in("made", f32)};
};
struct MultiplyingFloats {
  static void forward(const lh_call& call) {
    multiply_for_a_while(call, lanes, broadcast(1), broadcast(1),
                         [](Floats sum, Floats a, Floats b) { return sum + a * b; });
  }
};

LAYERHUB_KERNEL(MultiplyingFloats, MultiplyFloats, "multiply-floats");

}  // namespace
