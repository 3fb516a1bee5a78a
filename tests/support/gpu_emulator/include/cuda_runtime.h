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
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorNotReady = 600
};

#include "../runtime_api.inl.hpp"

#undef EMULATED_FUNCTION
#undef EMULATED

enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16 };

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  int major, minor, l2CacheSize;
};

inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* out, int ordinal) {
  return emulated_properties(out, ordinal, [&](const auto& from) { out->l2CacheSize = from.l2_bytes; });
}

inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int ordinal) {
  return emulated_multiprocessors(value, ordinal);
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

// The dot product of four signed bytes each, added to the sum.
inline int __dp4a(int a, int b, int sum) {
  for (int shift = 0; shift < 32; shift += 8) {
    sum += static_cast<std::int8_t>(a >> shift) * static_cast<std::int8_t>(b >> shift);
  }
  return sum;
}
