// SPDX-License-Identifier: Apache-2.0
#include "hub/overrides.hpp"

#include "support/catch.hpp"

#include <boost/filesystem/operations.hpp>

using namespace layerhub;
using namespace layerhub::hub;
using Catch::Matchers::Contains;

namespace {

const std::string here = boost::filesystem::temp_directory_path().string();

std::string refusal(const std::string& text, char separator = ';') {
  const Result<Overrides> overrides = parse_overrides(text, separator, "the list");
  return overrides ? "taken" : overrides.error().text;
}

}  // namespace

TEST_CASE("a list of overrides is entries between semicolons, blanks around them do not count") {
  const Overrides overrides = parse_overrides(" a/b = " + here + " ;; c/d=" + here + ";", ';', "the list").value();
  CHECK(overrides == Overrides{{"a/b", here}, {"c/d", here}});
  CHECK(parse_overrides("", ';', "the list").value().empty());
}

TEST_CASE("a file of overrides has an entry a line and comments") {
  CHECK(parse_overrides("# mine\n\na/b=" + here + "\r\n#c/d=/nowhere\n", '\n', "the file").value() ==
        Overrides{{"a/b", here}});
}

TEST_CASE("an override is split at the first equals sign and at no colon") {
  CHECK_THAT(refusal("a/b=C:\\builds=old\\x"), Contains("there is no such folder") && Contains("C:\\builds=old\\x"));
}

TEST_CASE("a malformed override is refused and names the entry and where it stands") {
  CHECK_THAT(refusal("a/b=" + here + ";nonsense"), Contains("entry 2, `nonsense`") && Contains("org/name=path"));
  CHECK_THAT(refusal("a/b="), Contains("org/name=path"));
  CHECK_THAT(refusal("=" + here), Contains("org/name"));
  CHECK_THAT(refusal("../b=" + here), Contains("org/name"));
  CHECK_THAT(refusal("\n\na/b\n", '\n'), Contains("entry 3"));
}

TEST_CASE("an override of a path that is not there is refused") {
  CHECK_THAT(refusal("a/b=/is/not/there"), Contains("there is no such folder"));
}

TEST_CASE("one repository can't be overridden twice") {
  CHECK_THAT(refusal("a/b=" + here + ";a/b=" + here), Contains("already"));
}
