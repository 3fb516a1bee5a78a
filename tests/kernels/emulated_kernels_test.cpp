// SPDX-License-Identifier: Apache-2.0
// The kernels for GPUs, without one: each .gpu.cu and device plugin once more, compiled for the emulated devices of
// support/gpu_emulator. That shows their arithmetic, their indices and their synchronisation; what a device's memory
// model adds, and speed, only a device shows.
#include "support/catch.hpp"
#include "support/kernel_checks.hpp"

namespace layerhub::testing {
namespace {

// Each wait of each emulated thread is a change of fibers.
constexpr std::size_t at_most = 250;

std::vector<BuiltLibrary> emulated(DLDeviceType device_type) {
  return open_built_plugins(LAYERHUB_EMULATED_ROOT, device_type);
}

TEST_CASE("every CUDA kernel keeps to its layer's reference on an emulated device") {
  check_kernels(emulated(kDLCUDA), at_most);
}

TEST_CASE("every HIP kernel keeps to its layer's reference on an emulated device with wavefronts of 64") {
  check_kernels(emulated(kDLROCM), at_most);
}

TEST_CASE("every CUDA kernel that trains gives its reference's gradients on an emulated device") {
  check_gradients(emulated(kDLCUDA), at_most);
}

TEST_CASE("every HIP kernel that trains gives its reference's gradients on an emulated device") {
  check_gradients(emulated(kDLROCM), at_most);
}

TEST_CASE("a GPU kernel that is safe to capture can be recorded on an emulated device, and replayed on other inputs") {
  check_captures(open_built_plugins(LAYERHUB_EMULATED_ROOT));
}

// What is skipped above is seen here.
TEST_CASE("every GPU kernel can run on an emulated device") {
  for (const DLDeviceType device_type : {kDLCUDA, kDLROCM}) {
    CHECK(!emulated(device_type).empty());
    for (const BuiltLibrary& library : emulated(device_type)) {
      INFO(library.name);
      CHECK(library.missing == "");
      CHECK(library.device != nullptr);
    }
  }
}

}  // namespace
}  // namespace layerhub::testing
