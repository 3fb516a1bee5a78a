// SPDX-License-Identifier: Apache-2.0
// What a mapping names for a device, before any plugin is looked at. The devices are a test's own: a type with two
// ordinals of different capability.
#include "dispatch/selection.hpp"

#include "device/device_table.hpp"
#include "support/catch.hpp"

using namespace layerhub;
using namespace layerhub::dispatch;

namespace {

class TwoDevices {
 public:
  TwoDevices() {
    device::set_runtime(kDLCUDA, [](std::int32_t ordinal) {
      return DeviceInfo{Device::cuda(ordinal), ordinal == 0 ? 80u : 90u, "a test's", "", ""};
    });
  }
  ~TwoDevices() { device::set_runtime(kDLCUDA, {}); }
};

LayerRepository from(const char* repo) { return {repo, "Scale", "v1"}; }

std::string named(const Mapping& mapping, Device device) {
  return select("Scale", device, Mode::inference, *mapping.value())->ref.text();
}

const Mapping by_capability{{"Scale",
                             {{MappedDevice{"cuda", CudaProperties{{80, 89}}}, from("a/ampere")},
                              {MappedDevice{"cuda", CudaProperties{{90, 99}}}, from("a/hopper")},
                              {"cpu", from("a/cpu")}}}};

}  // namespace

TEST_CASE("the capability is asked of each ordinal: two devices of one type get what fits each") {
  const TwoDevices devices;
  CHECK(named(by_capability, Device::cuda(0)) == "a/ampere@v1");
  CHECK(named(by_capability, Device::cuda(1)) == "a/hopper@v1");
  CHECK(named(by_capability, Device::cpu()) == "a/cpu@v1");
}

TEST_CASE("a device without a runtime is an error, not the capability of another") {
  CHECK_THROWS_AS(named(by_capability, Device::cuda(0)), Error);
}

TEST_CASE("one pass selects once for each name, device and mode") {
  SelectionCache cache;
  const auto first = cache.select("Scale", Device::cpu(), Mode::inference, *by_capability.value()).selection;
  CHECK(cache.select("Scale", Device::cpu(), Mode::inference, *by_capability.value()).selection == first);
  CHECK(cache.select("Scale", Device::cpu(), Mode::training, *by_capability.value()).selection != first);
  CHECK(cache.select("Other", Device::cpu(), Mode::inference, *by_capability.value()).selection != first);
}
