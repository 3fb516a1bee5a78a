// SPDX-License-Identifier: Apache-2.0
// The runtime interface that CUDA and HIP have in common, under one spelling, and what its error codes mean to a host.
//
// The two differ by the prefix of a name: LAYERHUB_GPU(MemcpyAsync) is cudaMemcpyAsync or hipMemcpyAsync. Where they
// differ in more than that, the difference is written out in the SDK's gpu headers and nowhere else. Host code alone:
// a device runtime includes this header, kernels include gpu.hpp.
#pragma once

// The second is HIP's own switch: its header defines it, and whoever includes that with another compiler must.
#if defined(__HIP__) || defined(__HIP_PLATFORM_AMD__)
#include <hip/hip_runtime.h>
#define LAYERHUB_GPU(Name) hip##Name
#define LAYERHUB_GPU_DEVICE kDLROCM
#else
#include <cuda_runtime.h>
#define LAYERHUB_GPU(Name) cuda##Name
#define LAYERHUB_GPU_DEVICE kDLCUDA
#endif

#include <layerhub/sdk/call.hpp>

#include <string>

namespace layerhub::sdk::gpu {

// What a host is told of a code. The vendors number them alike.
inline std::int32_t status_of(LAYERHUB_GPU(Error_t) code) {
  switch (static_cast<int>(code)) {
    case 0: return LH_OK;
    case 2: return LH_OUT_OF_MEMORY;
    // Faults of work that ran. The context is gone with them: every later call on the device returns the same.
    case 214:  // an uncorrectable error of the memory
    case 220:  // of a link
    case 700:  // an illegal address
    case 702:  // a launch that took too long
    case 710:  // an assertion of a kernel
    case 714:  // the stack of the hardware
    case 715:  // an illegal instruction
    case 716:  // a misaligned address
    case 717:  // an address of another space
    case 718:  // an invalid program counter
    case 719:  // a launch that failed
      return LH_DEVICE_LOST;
    default: return LH_INTERNAL;
  }
}

// Throws Failure unless the code is success: "<act>: <name of the code>". What is thrown here is no longer the
// runtime's last error, or the host's next question after it would find ours.
inline void check(LAYERHUB_GPU(Error_t) code, const char* act) {
  if (code != LAYERHUB_GPU(Success)) {
    static_cast<void>(LAYERHUB_GPU(GetLastError)());
    throw Failure(status_of(code), std::string(act) + ": " + LAYERHUB_GPU(GetErrorName)(code));
  }
}

// The device is the current one of this thread for the guard's life. The runtime acts on the current device whatever
// its arguments say, so every call stands behind a guard; to ask costs some nanoseconds, to change is what costs.
class DeviceGuard {
 public:
  explicit DeviceGuard(int ordinal) : ordinal_(ordinal) {
    check(LAYERHUB_GPU(GetDevice)(&before_), "to ask for the current device");
    if (before_ != ordinal_) {
      check(LAYERHUB_GPU(SetDevice)(ordinal_), "to change the current device");
    }
  }
  ~DeviceGuard() {
    if (before_ != ordinal_) {
      static_cast<void>(LAYERHUB_GPU(SetDevice)(before_));
    }
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int ordinal_;
  int before_ = 0;
};

}  // namespace layerhub::sdk::gpu
