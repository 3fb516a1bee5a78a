// SPDX-License-Identifier: Apache-2.0
// The functions of OpenCL 1.2 that plugins use, found in the system's loader when they are first needed.
//
// Nothing is linked: a plugin for OpenCL opens on a system that has none, and says so when it is asked.
#pragma once

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dlfcn.h>
#include <layerhub/sdk/call.hpp>

#include <string>

namespace layerhub::sdk::opencl {

#define LAYERHUB_OPENCL_FUNCTIONS(X)                                                                                \
  X(clGetPlatformIDs)                                                                                               \
  X(clGetPlatformInfo)                                                                                              \
  X(clGetDeviceIDs)                                                                                                 \
  X(clGetDeviceInfo) X(clCreateContext) X(clCreateCommandQueue) X(clGetCommandQueueInfo) X(clReleaseCommandQueue)   \
      X(clCreateBuffer) X(clReleaseMemObject) X(clEnqueueReadBuffer) X(clEnqueueWriteBuffer) X(clEnqueueCopyBuffer) \
          X(clEnqueueFillBuffer) X(clEnqueueMarkerWithWaitList) X(clEnqueueBarrierWithWaitList)                     \
              X(clEnqueueNDRangeKernel) X(clFlush) X(clFinish) X(clWaitForEvents) X(clGetEventInfo)                 \
                  X(clGetEventProfilingInfo) X(clReleaseEvent) X(clCreateProgramWithSource)                         \
                      X(clCreateProgramWithBinary) X(clBuildProgram) X(clGetProgramInfo) X(clGetProgramBuildInfo)   \
                          X(clReleaseProgram) X(clCreateKernel) X(clSetKernelArg) X(clReleaseKernel)

struct Api {
#define LAYERHUB_OPENCL_MEMBER(name) decltype(&::name) name = nullptr;
  LAYERHUB_OPENCL_FUNCTIONS(LAYERHUB_OPENCL_MEMBER)
#undef LAYERHUB_OPENCL_MEMBER
  std::string missing;  // why there is no OpenCL; empty: all functions are there
};

inline Api load_api() {
  Api api;
  void* library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    api.missing = "no OpenCL loader (libOpenCL.so.1) is installed; install ocl-icd-libopencl1 and the device's driver";
    return api;
  }
#define LAYERHUB_OPENCL_FIND(name)                                                              \
  api.name = reinterpret_cast<decltype(api.name)>(dlsym(library, #name));                       \
  if (api.name == nullptr) {                                                                    \
    api.missing = "the OpenCL loader is older than 1.2; install a newer one: it has no " #name; \
  }
  LAYERHUB_OPENCL_FUNCTIONS(LAYERHUB_OPENCL_FIND)
#undef LAYERHUB_OPENCL_FIND
  return api;
}

// [thread-safe]
inline const Api& api() {
  static const Api& instance = *new Api(load_api());
  return instance;
}

// "CL_OUT_OF_RESOURCES", for messages; the number where it is none of the usual ones.
inline std::string error_name(cl_int code) {
  switch (code) {
#define LAYERHUB_OPENCL_NAME(name) \
  case name: return #name;
    LAYERHUB_OPENCL_NAME(CL_DEVICE_NOT_FOUND)
    LAYERHUB_OPENCL_NAME(CL_DEVICE_NOT_AVAILABLE)
    LAYERHUB_OPENCL_NAME(CL_COMPILER_NOT_AVAILABLE)
    LAYERHUB_OPENCL_NAME(CL_MEM_OBJECT_ALLOCATION_FAILURE)
    LAYERHUB_OPENCL_NAME(CL_OUT_OF_RESOURCES)
    LAYERHUB_OPENCL_NAME(CL_OUT_OF_HOST_MEMORY)
    LAYERHUB_OPENCL_NAME(CL_BUILD_PROGRAM_FAILURE)
    LAYERHUB_OPENCL_NAME(CL_INVALID_VALUE)
    LAYERHUB_OPENCL_NAME(CL_INVALID_CONTEXT)
    LAYERHUB_OPENCL_NAME(CL_INVALID_COMMAND_QUEUE)
    LAYERHUB_OPENCL_NAME(CL_INVALID_MEM_OBJECT)
    LAYERHUB_OPENCL_NAME(CL_INVALID_BINARY)
    LAYERHUB_OPENCL_NAME(CL_INVALID_KERNEL_ARGS)
    LAYERHUB_OPENCL_NAME(CL_INVALID_WORK_GROUP_SIZE)
    LAYERHUB_OPENCL_NAME(CL_INVALID_BUFFER_SIZE)
    LAYERHUB_OPENCL_NAME(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST)
#undef LAYERHUB_OPENCL_NAME
    default: return "OpenCL error " + std::to_string(code);
  }
}

// What a host is told of a code. Drivers report a fault of a kernel as exhausted resources of a later call, which can't
// be told apart from exhausted memory where nothing was to be allocated; so that depends on the act.
inline std::int32_t status_of(cl_int code, bool allocates) {
  switch (code) {
    case CL_SUCCESS: return LH_OK;
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
    case CL_OUT_OF_HOST_MEMORY:
    case CL_INVALID_BUFFER_SIZE: return LH_OUT_OF_MEMORY;
    case CL_OUT_OF_RESOURCES: return allocates ? LH_OUT_OF_MEMORY : LH_DEVICE_LOST;
    case CL_DEVICE_NOT_AVAILABLE:
    case CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST: return LH_DEVICE_LOST;
    default: return LH_INTERNAL;
  }
}

inline void check(cl_int code, const char* act, bool allocates = false) {
  if (code != CL_SUCCESS) {
    throw Failure(status_of(code, allocates), std::string(act) + ": " + error_name(code));
  }
}

// A text that an info function of OpenCL gives.
template <class Ask>
std::string info_text(Ask&& ask) {
  std::size_t size = 0;
  if (ask(std::size_t{0}, nullptr, &size) != CL_SUCCESS || size == 0) {
    return {};
  }
  std::string text(size, '\0');
  ask(size, text.data(), nullptr);
  text.resize(text.find('\0') == std::string::npos ? size : text.find('\0'));
  return text;
}

inline std::string device_text(cl_device_id device, cl_device_info what) {
  return info_text([&](std::size_t size, void* out, std::size_t* needed) {
    return api().clGetDeviceInfo(device, what, size, out, needed);
  });
}

}  // namespace layerhub::sdk::opencl
