// SPDX-License-Identifier: Apache-2.0
// The HIP runtime of ROCm as a device plugin. Its library opens where libamdhip64 is installed; without AMD's driver
// there are no devices. What HIP has differently from CUDA stands here, the rest in gpu_runtime.inl.hpp.
#include <layerhub/sdk/gpu_api.hpp>

namespace {

struct Version {
  std::uint32_t major, minor;
};

struct Vendor {
  static constexpr const char* name = "HIP";
  using Properties = hipDeviceProp_t;

  // Of the runtime, which is the system's: 50221153 is 5.2.21153.
  static Version version() {
    int packed = 0;
    if (hipRuntimeGetVersion(&packed) != hipSuccess) {
      packed = 0;
    }
    return {static_cast<std::uint32_t>(packed / 10000000), static_cast<std::uint32_t>(packed / 100000 % 100)};
  }

  static std::string why_none(hipError_t code) {
    return code == hipSuccess || code == hipErrorNoDevice
               ? "ROCm finds no device; its driver is part of the kernel, amdgpu"
               : std::string("ROCm gives no devices: ") + hipGetErrorName(code);
  }

  static std::string arch_of(const Properties& properties) { return properties.gcnArchName; }

  // HIP can't be asked; but a stream takes no event of another device. To record one changes nothing.
  static std::uint32_t ordinal_of(hipStream_t stream, int devices) {
    for (int ordinal = 0; ordinal < devices; ++ordinal) {
      const layerhub::sdk::gpu::DeviceGuard guard(ordinal);
      hipEvent_t event = nullptr;
      layerhub::sdk::gpu::check(hipEventCreate(&event), "to make an event");
      const hipError_t code = hipEventRecord(event, stream);
      static_cast<void>(hipEventDestroy(event));
      if (code == hipSuccess) {
        return static_cast<std::uint32_t>(ordinal);
      }
      static_cast<void>(hipGetLastError());  // an answer: no later call of this thread shall find it
    }
    throw layerhub::sdk::Failure(LH_INVALID, "it is a stream of no HIP device");
  }

  static hipError_t allocate_pinned(void** out, std::size_t bytes) {
    return hipHostMalloc(out, bytes, hipHostMallocPortable);
  }
  static hipError_t release_pinned(void* memory) { return hipHostFree(memory); }
  static hipError_t instantiate(hipGraphExec_t* out, hipGraph_t graph) {
    return hipGraphInstantiate(out, graph, nullptr, nullptr, 0);
  }
};

}  // namespace

#include "../device-cuda/gpu_runtime.inl.hpp"
