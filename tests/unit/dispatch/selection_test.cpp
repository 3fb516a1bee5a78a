// SPDX-License-Identifier: Apache-2.0
// What a mapping names for a device, before any plugin is looked at. Devices other than the cpu: conformance.
#include "dispatch/selection.hpp"

#include "support/catch.hpp"

using namespace layerhub;
using namespace layerhub::dispatch;

namespace {

const Mapping for_the_cpu{{"Scale", {{"cpu", LayerRepository{"a/cpu", "Scale", "v1"}}}}};

}  // namespace

TEST_CASE("one pass selects once for each name, device and mode") {
  SelectionCache cache;
  const auto first = cache.select("Scale", Device::cpu(), Mode::inference, *for_the_cpu.value()).selection;
  CHECK(cache.select("Scale", Device::cpu(), Mode::inference, *for_the_cpu.value()).selection == first);
  CHECK(cache.select("Scale", Device::cpu(), Mode::training, *for_the_cpu.value()).selection != first);
  CHECK(cache.select("Other", Device::cpu(), Mode::inference, *for_the_cpu.value()).selection != first);
}
