// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime as a device plugin. It is linked statically, so that the library opens on every system; without
// NVIDIA's driver there are no devices. What CUDA has differently from HIP stands here, the rest in
// gpu_runtime.inl.hpp.
#include <layerhub/sdk/gpu_api.hpp>

namespace {

struct Version {
  std::uint32_t major, minor;
};

struct Vendor {
  static constexpr const char* name = "CUDA";
  using Properties = cudaDeviceProp;

  // Of the driver: what it can run decides which variants fit. 13020 is 13.2.
  static Version version() { return unpacked(driver_version()); }

  static std::string why_none(cudaError_t code) {
    const Version driver = version();
    if (driver.major == 0) {
      return "no driver of NVIDIA is installed; install it, or use another device";
    }
    const std::string installed = std::to_string(driver.major) + "." + std::to_string(driver.minor);
    if (code == cudaErrorInsufficientDriver) {
      const Version needed = unpacked(CUDART_VERSION);
      return "the driver is of CUDA " + installed + "; " + std::to_string(needed.major) + "." +
             std::to_string(needed.minor) + " or newer is needed";
    }
    return code == cudaSuccess || code == cudaErrorNoDevice
               ? "the driver of CUDA " + installed + " finds no device; nvidia-smi lists what it sees"
               : "the driver of CUDA " + installed + " gives no devices: " + cudaGetErrorName(code);
  }

  static std::string arch_of(const Properties& properties) {
    return "sm_" + std::to_string(properties.major * 10 + properties.minor);
  }

  static std::uint32_t ordinal_of(cudaStream_t stream, int) {
    int ordinal = 0;
    layerhub::sdk::gpu::check(cudaStreamGetDevice(stream, &ordinal), "to ask for a stream's device");
    return static_cast<std::uint32_t>(ordinal);
  }

  static cudaError_t allocate_pinned(void** out, std::size_t bytes) {
    return cudaHostAlloc(out, bytes, cudaHostAllocPortable);
  }
  static cudaError_t release_pinned(void* memory) { return cudaFreeHost(memory); }
  static cudaError_t instantiate(cudaGraphExec_t* out, cudaGraph_t graph) {
    return cudaGraphInstantiate(out, graph, 0);
  }

 private:
  static int driver_version() {
    int packed = 0;
    return cudaDriverGetVersion(&packed) == cudaSuccess ? packed : 0;
  }
  static Version unpacked(int packed) {
    return {static_cast<std::uint32_t>(packed / 1000), static_cast<std::uint32_t>(packed % 1000 / 10)};
  }
};

}  // namespace

#include "gpu_runtime.inl.hpp"
