// SPDX-License-Identifier: Apache-2.0
#include "hub/archs.hpp"

#include "support/catch.hpp"

using Catch::Matchers::Contains;
using layerhub::hub::archs_misfit;

namespace {

struct Case {
  std::vector<std::string> archs;
  std::uint32_t capability;
  bool fits;
};

void check_cuda(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO((c.archs.empty() ? "none" : c.archs.back()) << " on " << c.capability);
    CHECK(archs_misfit(c.archs, "cuda", c.capability, "").has_value() != c.fits);
  }
}

bool rocm_fits(const char* arch, const char* device) { return !archs_misfit({arch}, "rocm", 0, device); }

}  // namespace

TEST_CASE("a plain arch runs on the same major version from its minor one on") {
  check_cuda({{{"8.0"}, 80, true},
              {{"8.0"}, 86, true},
              {{"8.0"}, 89, true},
              {{"8.0"}, 90, false},
              {{"8.6"}, 80, false},
              {{"8.0"}, 75, false},
              {{"12.0"}, 120, true},
              {{"12.0"}, 121, true}});
}

TEST_CASE("an arch with an a runs on exactly that one") {
  check_cuda({{{"9.0a"}, 90, true}, {{"9.0a"}, 100, false}, {{"10.0a"}, 103, false}, {{"9.0a"}, 89, false}});
}

TEST_CASE("an arch with an f runs on its family: the same major version, from its minor one on") {
  check_cuda({{{"10.0f"}, 100, true}, {{"10.0f"}, 103, true}, {{"10.3f"}, 100, false}, {{"10.0f"}, 120, false}});
}

TEST_CASE("PTX runs on everything from its arch on") {
  check_cuda({{{"8.0+PTX"}, 80, true}, {{"8.0+PTX"}, 90, true}, {{"8.0+PTX"}, 120, true}, {{"8.0+PTX"}, 75, false}});
}

TEST_CASE("one arch of the list is enough, and a build that lists none runs anywhere") {
  check_cuda({{{"8.0", "9.0a"}, 90, true}, {{"7.0", "9.0a"}, 80, false}, {{}, 50, true}});
}

TEST_CASE("an arch that can't be read never fits") {
  check_cuda({{{""}, 80, false},
              {{"8"}, 80, false},
              {{"8."}, 80, false},
              {{"8.0b"}, 80, false},
              {{"sm_80"}, 80, false},
              {{"8.0+ptx"}, 80, false},
              {{"8.00"}, 80, true},
              {{"8.10"}, 90, false},
              {{"99999.0"}, 80, false},
              {{" 8.0"}, 80, false},
              {{"-8.0"}, 80, false}});
}

TEST_CASE("gfx names are compared without their features") {
  CHECK(rocm_fits("gfx90a", "gfx90a"));
  CHECK(rocm_fits("gfx90a", "gfx90a:sramecc+:xnack-"));
  CHECK(rocm_fits("gfx90a:xnack-", "gfx90a"));
  CHECK_FALSE(rocm_fits("gfx90a", "gfx942"));
  CHECK_FALSE(rocm_fits("gfx9", "gfx90a"));
}

TEST_CASE("other backends have no archs") { CHECK_FALSE(archs_misfit({"8.0"}, "cpu", 4, "")); }

TEST_CASE("the refusal names the archs and the capability") {
  CHECK_THAT(*archs_misfit({"8.0", "9.0a"}, "cuda", 75, ""), Contains("8.0, 9.0a") && Contains("capability 7.5"));
  CHECK_THAT(*archs_misfit({"gfx90a"}, "rocm", 0, "gfx942"), Contains("gfx90a") && Contains("gfx942"));
}

TEST_CASE("PTX of an arch with a or f stays with what that one runs on") {
  check_cuda(
      {{{"9.0a+PTX"}, 90, true}, {{"9.0a+PTX"}, 100, false}, {{"10.0f+PTX"}, 103, true}, {{"10.0f+PTX"}, 120, false}});
}
