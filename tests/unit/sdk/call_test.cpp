// SPDX-License-Identifier: Apache-2.0
#include <layerhub/sdk/call.hpp>

#include "support/catch.hpp"

namespace layerhub::sdk {
namespace {

// What a buffer of this capacity holds after `text` was written into it.
std::string written(std::string_view text, std::uint32_t capacity) {
  std::string buffer(capacity + 4, '#');
  lh_error error{sizeof error, 0, buffer.data(), capacity, 0};
  CHECK(fail(&error, LH_INVALID, text) == LH_INVALID);
  CHECK(buffer.substr(capacity) == "####");
  return buffer.substr(0, error.length);
}

TEST_CASE("an error text is cut where the host's buffer ends") {
  CHECK(written("short", 16) == "short");
  CHECK(written("exact", 5) == "exact");
  CHECK(written("too long", 3) == "too");
  CHECK(written("none", 0).empty());
}

TEST_CASE("an error text is never cut inside a character") {
  CHECK(written("a\xc3\xa4", 2) == "a");      // 2 bytes
  CHECK(written("\xe2\x82\xac", 2).empty());  // 3 bytes
  CHECK(written("a\xe2\x82\xac"
                "b",
                4) == "a\xe2\x82\xac");
  CHECK(written("\xf0\x9f\x98\x80x", 3).empty());  // 4 bytes
}

TEST_CASE("a host without a buffer gets the status alone") {
  lh_error without_text{sizeof(lh_error), 0, nullptr, 0, 0};
  CHECK(fail(nullptr, LH_INTERNAL, "lost") == LH_INTERNAL);
  CHECK(fail(&without_text, LH_INTERNAL, "lost") == LH_INTERNAL);
  CHECK(without_text.length == 0);
}

TEST_CASE("asking for an attribute under another kind is a defect, not a zero") {
  lh_attr attribute{};
  attribute.name = str("count");
  attribute.kind = LH_ATTR_INT;
  attribute.value.i = 3;
  lh_create_args raw{};
  raw.attrs = &attribute;
  raw.n_attrs = 1;
  const CreateArgs args(raw, {});
  CHECK(args.integer("count") == 3);
  CHECK_THROWS_AS(args.real("count"), Failure);
  CHECK_THROWS_AS(args.param("count"), Failure);
}

}  // namespace
}  // namespace layerhub::sdk
