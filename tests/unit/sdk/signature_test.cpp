// SPDX-License-Identifier: Apache-2.0
#include <layerhub/sdk/signature.hpp>

#include "support/catch.hpp"

namespace layerhub::sdk {
namespace {

struct Base {
  static constexpr std::array arguments{input("x"), output("y")};
};
struct WithOtherConstraints : Base {
  [[maybe_unused]] static constexpr std::array constraints{same_shape("y", "x")};
};
struct WithAttribute : Base {
  static constexpr std::array attributes{required_float("epsilon")};
};
struct WithOptionalAttribute : Base {
  static constexpr std::array attributes{optional_float("epsilon", 1)};
};
struct OtherKind {
  static constexpr std::array arguments{input("x"), state("y")};
};
struct OtherOrder {
  static constexpr std::array arguments{output("y"), input("x")};
};
struct OtherCut {
  static constexpr std::array arguments{input("xy"), output("")};
};

TEST_CASE("the hash is FNV-1a 64") {
  // Published values of "" and "a"; add() ends a text with one zero byte more.
  CHECK(Fnv1a().value() == 0xcbf29ce484222325ull);
  CHECK(Fnv1a().add("a").value() == 0xaf63dc4c8601ec8cull * 0x100000001b3ull);
}

TEST_CASE("a signature follows names, kinds and order of arguments and attributes") {
  constexpr std::uint64_t base = signature_of<Base>();
  CHECK(signature_of<WithAttribute>() != base);
  CHECK(signature_of<OtherKind>() != base);
  CHECK(signature_of<OtherOrder>() != base);
  CHECK(signature_of<OtherCut>() != base);
}

TEST_CASE("what a kernel adds of its own leaves the signature alone") {
  CHECK(signature_of<WithOtherConstraints>() == signature_of<Base>());
  CHECK(signature_of<WithOptionalAttribute>() == signature_of<WithAttribute>());
}

}  // namespace
}  // namespace layerhub::sdk
