// SPDX-License-Identifier: Apache-2.0
// The OpenCL runtime as a device plugin: every device of 1.2 or newer of every installed driver, graphics processors
// first. One context for each device, queues in order, with profiling so that events have times.
//
// An address of memory is a cl_mem. Events are cl_events of markers; an event of an idle queue is done as soon as the
// driver has seen it.
#include <layerhub/sdk/device_runtime.hpp>
#include <layerhub/sdk/opencl_api.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <vector>

namespace {

using namespace layerhub::sdk;
using namespace layerhub::sdk::opencl;

struct ClDevice {
  cl_device_id id = nullptr;
  cl_context context = nullptr;
  std::uint32_t version = 12;  // major * 10 + minor
  bool is_gpu = false;
  std::string name, driver, arch;
  std::atomic<bool> lost{false};
};

struct Devices {
  std::vector<ClDevice*> all;  // never destroyed
  std::string why_none;
};

// "OpenCL 3.0 PoCL ..." -> 30
std::uint32_t version_of(const std::string& text) {
  unsigned major = 0, minor = 0;
  return std::sscanf(text.c_str(), "OpenCL %u.%u", &major, &minor) == 2 ? major * 10 + std::min(minor, 9u) : 0;
}

void add_devices_of(cl_platform_id platform, Devices& found) {
  cl_uint count = 0;
  if (api().clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &count) != CL_SUCCESS) {
    return;
  }
  std::vector<cl_device_id> ids(count);
  api().clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, ids.data(), nullptr);
  for (const cl_device_id id : ids) {
    const std::uint32_t version = version_of(device_text(id, CL_DEVICE_VERSION));
    if (version < 12) {
      found.why_none = device_text(id, CL_DEVICE_NAME) + " is older than OpenCL 1.2";
      continue;
    }
    cl_int code = CL_SUCCESS;
    const cl_context context = api().clCreateContext(nullptr, 1, &id, nullptr, nullptr, &code);
    if (code != CL_SUCCESS) {
      found.why_none = device_text(id, CL_DEVICE_NAME) + " gives no context: " + error_name(code);
      continue;
    }
    cl_device_type type = 0;
    api().clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof type, &type, nullptr);
    auto* device = new ClDevice;
    device->id = id;
    device->context = context;
    device->version = version;
    device->is_gpu = (type & CL_DEVICE_TYPE_GPU) != 0;
    device->name = device_text(id, CL_DEVICE_NAME);
    device->driver = device_text(id, CL_DRIVER_VERSION);
    found.all.push_back(device);
  }
}

Devices enumerate() {
  Devices found;
  if (!api().missing.empty()) {
    found.why_none = api().missing;
    return found;
  }
  cl_uint count = 0;
  if (const cl_int code = api().clGetPlatformIDs(0, nullptr, &count); code != CL_SUCCESS || count == 0) {
    // The loader's own code for that is an extension's.
    found.why_none = "no OpenCL driver is installed; install that of the device, or pocl-opencl-icd for the processor";
    return found;
  }
  std::vector<cl_platform_id> platforms(count);
  api().clGetPlatformIDs(count, platforms.data(), nullptr);
  found.why_none = "no driver of OpenCL has a device; clinfo lists what they see";
  for (const cl_platform_id platform : platforms) {
    add_devices_of(platform, found);
  }
  std::stable_partition(found.all.begin(), found.all.end(), [](const ClDevice* device) { return device->is_gpu; });
  return found;
}

const Devices& devices() {
  static const Devices& instance = *new Devices(enumerate());
  return instance;
}

ClDevice& device_at(std::uint32_t ordinal) {
  if (ordinal >= devices().all.size()) {
    throw Failure(LH_INVALID, "there is no OpenCL device of ordinal " + std::to_string(ordinal));
  }
  ClDevice& device = *devices().all[ordinal];
  if (device.lost.load(std::memory_order_relaxed)) {
    throw Failure(LH_DEVICE_LOST, "an earlier fault took the device away");
  }
  return device;
}

// A device that is not the one asked: that it is lost is no fault of that one's.
ClDevice& other_device_at(std::uint32_t ordinal) {
  try {
    return device_at(ordinal);
  } catch (const Failure& failure) {
    throw Failure(LH_INVALID, std::string("the other device: ") + failure.what());
  }
}

// The boundary of each function: failures become a status and a text, and a lost device stays lost.
template <class Run>
std::int32_t guarded(std::uint32_t ordinal, lh_error* error, Run&& run) noexcept {
  try {
    run();
    return LH_OK;
  } catch (...) {
    const std::int32_t status = fail_with_current_exception(error);
    if (status == LH_DEVICE_LOST && ordinal < devices().all.size()) {
      devices().all[ordinal]->lost.store(true, std::memory_order_relaxed);
    }
    return status;
  }
}

cl_mem memory(const void* pointer) { return static_cast<cl_mem>(const_cast<void*>(pointer)); }
cl_command_queue queue(void* stream) { return static_cast<cl_command_queue>(stream); }
cl_event event_of(void* event) { return static_cast<cl_event>(event); }

template <class T>
T number(cl_device_id device, cl_device_info what) {
  T value{};
  api().clGetDeviceInfo(device, what, sizeof value, &value, nullptr);
  return value;
}

struct OpenClRuntime {
  static std::int32_t count(std::uint32_t* out, lh_error* error) {
    *out = static_cast<std::uint32_t>(devices().all.size());
    return *out != 0 ? std::int32_t{LH_OK} : fail(error, LH_OK, devices().why_none);
  }

  static std::int32_t info(std::uint32_t ordinal, lh_device_info* out, lh_error* error) {
    return guarded(ordinal, error, [&] {
      const ClDevice& device = device_at(ordinal);
      lh_device_info whole{};
      whole.struct_size = out->struct_size;
      whole.capability = device.version;
      whole.device = {kDLOpenCL, static_cast<std::int32_t>(ordinal)};
      whole.total_memory = number<cl_ulong>(device.id, CL_DEVICE_GLOBAL_MEM_SIZE);
      whole.name = str(device.name);
      whole.driver = str(device.driver);
      std::memcpy(out, &whole, std::min<std::size_t>(out->struct_size, sizeof whole));
    });
  }

  static std::int32_t version(std::uint32_t* major, std::uint32_t* minor, lh_error*) {
    const auto least = std::min_element(devices().all.begin(), devices().all.end(),
                                        [](const ClDevice* a, const ClDevice* b) { return a->version < b->version; });
    *major = (*least)->version / 10;
    *minor = (*least)->version % 10;
    return LH_OK;
  }

  static std::int32_t allocate(std::uint32_t ordinal, std::size_t bytes, void*, void** out, lh_error* error) {
    return guarded(ordinal, error, [&] {
      cl_int code = CL_SUCCESS;
      *out = api().clCreateBuffer(device_at(ordinal).context, CL_MEM_READ_WRITE, bytes, nullptr, &code);
      check(code, "clCreateBuffer", true);
    });
  }

  // A buffer lives until the work that uses it has run, whoever gives it back: OpenCL counts.
  static void release(std::uint32_t, void* pointer, void*) { api().clReleaseMemObject(memory(pointer)); }

  static std::int32_t copy(DLDevice to, void* dst, std::size_t dst_offset, DLDevice from, const void* src,
                           std::size_t src_offset, std::size_t bytes, void* stream, lh_error* error) {
    const bool to_device = to.device_type == kDLOpenCL, from_device = from.device_type == kDLOpenCL;
    const auto ordinal = static_cast<std::uint32_t>(to_device ? to.device_id : from.device_id);
    return guarded(ordinal, error, [&] {
      device_at(ordinal);
      if (to_device && from_device && to.device_id != from.device_id) {  // contexts share nothing: through the host
        std::vector<char> staged(bytes);
        cl_int code = CL_SUCCESS;
        const ClDevice& source = other_device_at(static_cast<std::uint32_t>(from.device_id));
        const cl_command_queue reader = api().clCreateCommandQueue(source.context, source.id, 0, &code);
        check(code, "clCreateCommandQueue");
        code = api().clEnqueueReadBuffer(reader, memory(src), CL_TRUE, src_offset, bytes, staged.data(), 0, nullptr,
                                         nullptr);
        api().clReleaseCommandQueue(reader);
        check(code, "clEnqueueReadBuffer");
        check(api().clEnqueueWriteBuffer(queue(stream), memory(dst), CL_TRUE, dst_offset, bytes, staged.data(), 0,
                                         nullptr, nullptr),
              "clEnqueueWriteBuffer");
      } else if (to_device && from_device) {
        check(api().clEnqueueCopyBuffer(queue(stream), memory(src), memory(dst), src_offset, dst_offset, bytes, 0,
                                        nullptr, nullptr),
              "clEnqueueCopyBuffer");
      } else if (to_device) {
        check(api().clEnqueueWriteBuffer(queue(stream), memory(dst), CL_FALSE, dst_offset, bytes,
                                         static_cast<const char*>(src) + src_offset, 0, nullptr, nullptr),
              "clEnqueueWriteBuffer");
      } else {
        check(api().clEnqueueReadBuffer(queue(stream), memory(src), CL_FALSE, src_offset, bytes,
                                        static_cast<char*>(dst) + dst_offset, 0, nullptr, nullptr),
              "clEnqueueReadBuffer");
      }
      check(api().clFlush(queue(stream)), "clFlush");
    });
  }

  static std::int32_t fill(std::uint32_t ordinal, void* dst, std::size_t offset, std::uint8_t value, std::size_t bytes,
                           void* stream, lh_error* error) {
    return guarded(ordinal, error, [&] {
      device_at(ordinal);
      check(api().clEnqueueFillBuffer(queue(stream), memory(dst), &value, 1, offset, bytes, 0, nullptr, nullptr),
            "clEnqueueFillBuffer");
    });
  }

  static std::int32_t stream_create(std::uint32_t ordinal, void** out, lh_error* error) {
    return guarded(ordinal, error, [&] {
      const ClDevice& device = device_at(ordinal);
      cl_int code = CL_SUCCESS;
      *out = api().clCreateCommandQueue(device.context, device.id, CL_QUEUE_PROFILING_ENABLE, &code);
      check(code, "clCreateCommandQueue");
    });
  }

  static void stream_destroy(std::uint32_t, void* stream) { api().clReleaseCommandQueue(queue(stream)); }

  static std::int32_t stream_synchronize(std::uint32_t ordinal, void* stream, lh_error* error) {
    return guarded(ordinal, error, [&] {
      device_at(ordinal);
      check(api().clFinish(queue(stream)), "clFinish");
    });
  }

  // A queue of another context is of no device here, even where the hardware is the same: memory is the context's.
  static std::int32_t stream_ordinal(void* stream, std::uint32_t* out, lh_error* error) {
    cl_context context = nullptr;
    cl_command_queue_properties properties = 0;
    if (api().clGetCommandQueueInfo(queue(stream), CL_QUEUE_CONTEXT, sizeof context, &context, nullptr) != CL_SUCCESS) {
      return fail(error, LH_INVALID, "it is no command queue");
    }
    api().clGetCommandQueueInfo(queue(stream), CL_QUEUE_PROPERTIES, sizeof properties, &properties, nullptr);
    if ((properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) != 0) {
      return fail(error, LH_INVALID, "the queue runs out of order; make one that does not");
    }
    const auto found = std::find_if(devices().all.begin(), devices().all.end(),
                                    [&](const ClDevice* device) { return device->context == context; });
    if (found == devices().all.end()) {
      return fail(error, LH_INVALID,
                  "the queue is of a context of its own; make it in the device's \"opencl.context\"");
    }
    *out = static_cast<std::uint32_t>(found - devices().all.begin());
    return LH_OK;
  }

  static std::int32_t stream_wait_event(std::uint32_t ordinal, void* stream, void* event, lh_error* error) {
    return guarded(ordinal, error, [&] {
      const cl_event waited = event_of(event);
      check(api().clEnqueueBarrierWithWaitList(queue(stream), 1, &waited, nullptr), "clEnqueueBarrierWithWaitList");
    });
  }

  static std::int32_t event_record(std::uint32_t ordinal, void* stream, void** out, lh_error* error) {
    return guarded(ordinal, error, [&] {
      device_at(ordinal);
      cl_event marker = nullptr;
      check(api().clEnqueueMarkerWithWaitList(queue(stream), 0, nullptr, &marker), "clEnqueueMarkerWithWaitList");
      *out = marker;
      check(api().clFlush(queue(stream)), "clFlush");  // else it might never be done for one who only asks
    });
  }

  static std::int32_t event_query(std::uint32_t ordinal, void* event, std::uint32_t* done, lh_error* error) {
    return guarded(ordinal, error, [&] {
      cl_int state = CL_QUEUED;
      check(api().clGetEventInfo(event_of(event), CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, nullptr),
            "clGetEventInfo");
      if (state < 0) {
        throw Failure(LH_DEVICE_LOST, "work before an event ended with " + error_name(state));
      }
      *done = state == CL_COMPLETE ? 1 : 0;
    });
  }

  static std::int32_t event_synchronize(std::uint32_t ordinal, void* event, lh_error* error) {
    return guarded(ordinal, error, [&] {
      const cl_event waited = event_of(event);
      check(api().clWaitForEvents(1, &waited), "clWaitForEvents");
    });
  }

  static std::int32_t event_elapsed(std::uint32_t ordinal, void* first, void* second, double* seconds,
                                    lh_error* error) {
    return guarded(ordinal, error, [&] {
      std::array<cl_ulong, 2> nanoseconds{};
      const std::array events{event_of(first), event_of(second)};
      for (std::size_t i = 0; i < 2; ++i) {
        check(api().clGetEventProfilingInfo(events[i], CL_PROFILING_COMMAND_END, sizeof nanoseconds[i], &nanoseconds[i],
                                            nullptr),
              "clGetEventProfilingInfo");
      }
      *seconds = 1e-9 * (static_cast<double>(nanoseconds[1]) - static_cast<double>(nanoseconds[0]));
    });
  }

  static void event_destroy(std::uint32_t, void* event) { api().clReleaseEvent(event_of(event)); }

  static std::int32_t last_error(std::uint32_t ordinal, lh_error* error) {
    return guarded(ordinal, error, [&] { device_at(ordinal); });
  }

  static std::int32_t native(std::uint32_t ordinal, const char* what, void** out, lh_error* error) {
    return guarded(ordinal, error, [&] {
      const std::string_view name(what);
      if (name != "opencl.context" && name != "opencl.device") {
        throw Failure(LH_UNSUPPORTED, "OpenCL devices have opencl.context and opencl.device");
      }
      const ClDevice& device = device_at(ordinal);
      *out = name == "opencl.context" ? static_cast<void*>(device.context) : static_cast<void*>(device.id);
    });
  }
};
LAYERHUB_DEVICE_RUNTIME(kDLOpenCL, OpenClRuntime);

}  // namespace
