// SPDX-License-Identifier: Apache-2.0
// HIP's runtime and device language as plain C++, for wavefronts of 64; see ../cuda_runtime.h.
#pragma once

#include "../../emulated_runtime.hpp"

#define EMULATED(Name) hip##Name
inline constexpr auto emulated_vendor = layerhub::gpu_emulator::Vendor::rocm;

enum hipError_t {
  hipSuccess = 0,
  hipErrorInsufficientDriver = 35,
  hipErrorNoDevice = 100,
  hipErrorNotReady = 600
};

#include "../../runtime_api.inl.hpp"

#undef EMULATED_FUNCTION
#undef EMULATED

enum hipDeviceAttribute_t { hipDeviceAttributeMultiprocessorCount };

struct hipDeviceProp_t {
  char name[256];
  std::size_t totalGlobalMem;
  int major, minor;
  char gcnArchName[256];
};

inline hipError_t hipGetDeviceProperties(hipDeviceProp_t* out, int ordinal) {
  return emulated_properties(
      out, ordinal, [&](const auto& from) { from.arch.copy(out->gcnArchName, sizeof out->gcnArchName - 1); });
}

inline hipError_t hipDeviceGetAttribute(int* value, hipDeviceAttribute_t, int ordinal) {
  return emulated_multiprocessors(value, ordinal);
}

inline hipError_t hipRuntimeGetVersion(int* version) { return *version = 50221153, hipSuccess; }
inline hipError_t hipGraphInstantiate(hipGraphExec_t* made, hipGraph_t graph, void*, char*, std::size_t) {
  return static_cast<hipError_t>(layerhub::gpu_emulator::copy_graph(emulated_vendor, made, graph));
}

inline constexpr unsigned hipHostMallocPortable = 1;
inline hipError_t hipHostMalloc(void** memory, std::size_t bytes, unsigned) {
  return static_cast<hipError_t>(layerhub::gpu_emulator::allocate_pinned(emulated_vendor, memory, bytes));
}
inline hipError_t hipHostFree(void* memory) {
  return static_cast<hipError_t>(layerhub::gpu_emulator::release_pinned(emulated_vendor, memory));
}

// Reports by hipGetLastError alone, like the one that it stands for.
template <class... Parameters, class... Arguments>
void hipLaunchKernelGGL(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::uint32_t shared_bytes,
                        hipStream_t stream, Arguments&&... arguments) {
  layerhub::gpu_emulator::launch_kernel(kernel, grid, block, shared_bytes, stream,
                                        std::forward<Arguments>(arguments)...);
}

// ---- The functions of a wavefront: all lanes take part ----

template <class T>
T __shfl(T value, int source, int width = 64, std::source_location place = std::source_location::current()) {
  using namespace layerhub::gpu_emulator;
  return shuffle_from(all_lanes, value, source_of_index(source, width), place);
}
template <class T>
T __shfl_xor(T value, int bits, int width = 64, std::source_location place = std::source_location::current()) {
  using namespace layerhub::gpu_emulator;
  return shuffle_from(all_lanes, value, source_of_xor(bits, width), place);
}
template <class T>
T __shfl_down(T value, unsigned delta, int width = 64, std::source_location place = std::source_location::current()) {
  using namespace layerhub::gpu_emulator;
  return shuffle_from(all_lanes, value, source_of_down(delta, width), place);
}
