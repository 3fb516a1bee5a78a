// SPDX-License-Identifier: Apache-2.0
// CUDA's runtime and device language as plain C++; see ../emulated_runtime.hpp and ../device_code.hpp. An emulation
// shows arithmetic, indexing and synchronisation, not speed and not the memory model of a device.
#pragma once

#include "../emulated_runtime.hpp"

#define EMULATED(Name) cuda##Name
#define CUDART_VERSION 13000
inline constexpr auto emulated_vendor = layerhub::gpu_emulator::Vendor::cuda;

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600
};

#include "../runtime_api.inl.hpp"

#undef EMULATED_FUNCTION
#undef EMULATED

enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76
};

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin;
  int major, minor, multiProcessorCount, warpSize;
};

inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* out, int ordinal) {
  layerhub::gpu_emulator::Properties from;
  const int code = layerhub::gpu_emulator::properties(emulated_vendor, ordinal, &from);
  *out = {};
  from.name.copy(out->name, sizeof out->name - 1);
  out->totalGlobalMem = from.memory;
  out->sharedMemPerBlock = 48 * 1024;
  out->sharedMemPerBlockOptin = from.shared_bytes;
  out->major = from.major;
  out->minor = from.minor;
  out->multiProcessorCount = from.multiprocessors;
  out->warpSize = from.warp;
  return static_cast<cudaError_t>(code);
}

inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int ordinal) {
  layerhub::gpu_emulator::Properties from;
  const int code = layerhub::gpu_emulator::properties(emulated_vendor, ordinal, &from);
  *value = attribute == cudaDevAttrMultiProcessorCount      ? from.multiprocessors
           : attribute == cudaDevAttrComputeCapabilityMajor ? from.major
                                                            : from.minor;
  return static_cast<cudaError_t>(code);
}

inline cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long = 0) {
  return static_cast<cudaError_t>(layerhub::gpu_emulator::copy_graph(emulated_vendor, made, graph));
}

inline constexpr unsigned cudaHostAllocPortable = 1;
inline cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return static_cast<cudaError_t>(layerhub::gpu_emulator::allocate_pinned(emulated_vendor, memory, bytes));
}
inline cudaError_t cudaFreeHost(void* memory) {
  return static_cast<cudaError_t>(layerhub::gpu_emulator::release_pinned(emulated_vendor, memory));
}

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  void* attrs;
  unsigned numAttrs;
};

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return static_cast<cudaError_t>(layerhub::gpu_emulator::launch_kernel(kernel, config->gridDim, config->blockDim,
                                                                        config->dynamicSmemBytes, config->stream,
                                                                        std::forward<Arguments>(arguments)...));
}

// ---- The functions of a warp, with the mask of the lanes that take part ----

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              std::source_location place = std::source_location::current()) {
  using namespace layerhub::gpu_emulator;
  return shuffle_from(mask, value, source_of_index(source, width), place);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  std::source_location place = std::source_location::current()) {
  using namespace layerhub::gpu_emulator;
  return shuffle_from(mask, value, source_of_xor(bits, width), place);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   std::source_location place = std::source_location::current()) {
  using namespace layerhub::gpu_emulator;
  return shuffle_from(mask, value, source_of_down(delta, width), place);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, std::source_location place = std::source_location::current()) {
  layerhub::gpu_emulator::meet(
      mask, &mask, [](void* const*, unsigned) {}, place);
}

inline int __dp4a(int a, int b, int sum) { return emulated_dot4(a, b, sum); }
