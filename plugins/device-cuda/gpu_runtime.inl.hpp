// SPDX-License-Identifier: Apache-2.0
// A GPU's runtime as lh.device/1, for CUDA and HIP: the two differ by a prefix (sdk/gpu_api.hpp) and by what the struct
// Vendor has, which the file that includes this one defines.
//
// Memory is an address, a stream cudaStream_t, a graph cudaGraphExec_t. Allocation is the plain one, which every device
// has: a host allocates when it is set up, and what it gives back is not waited for by anything that runs.
#include <layerhub/sdk/device_runtime.hpp>

#include <atomic>
#include <vector>

namespace {

using namespace layerhub::sdk;
using gpu::check;
using gpu::DeviceGuard;

struct GpuDevice {
  std::string name, arch;
  std::uint32_t capability = 0;  // major * 10 + minor
  std::uint64_t memory = 0;
  std::atomic<bool> lost{false};
};

struct Devices {
  std::vector<GpuDevice*> all;  // never destroyed
  std::string why_none, driver;
};

Devices enumerate() {
  Devices found;
  int count = 0;
  const LAYERHUB_GPU(Error_t) code = LAYERHUB_GPU(GetDeviceCount)(&count);
  if (code != LAYERHUB_GPU(Success) || count == 0) {
    static_cast<void>(LAYERHUB_GPU(GetLastError)());  // no driver is no error of the host's
    found.why_none = Vendor::why_none(code);
    return found;
  }
  const Version version = Vendor::version();
  found.driver = std::string(Vendor::name) + " " + std::to_string(version.major) + "." + std::to_string(version.minor);
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    Vendor::Properties properties{};
    check(LAYERHUB_GPU(GetDeviceProperties)(&properties, ordinal), "to ask for a device's properties");
    auto* device = new GpuDevice;
    device->name = properties.name;
    device->capability = static_cast<std::uint32_t>(properties.major * 10 + properties.minor);
    device->arch = Vendor::arch_of(properties);
    device->memory = properties.totalGlobalMem;
    found.all.push_back(device);
  }
  return found;
}

const Devices& devices() {
  static const Devices& instance = *new Devices(enumerate());
  return instance;
}

// For a device that is not the one asked: that it is lost is no fault of that one's.
void need_other(std::uint32_t ordinal) {
  if (ordinal >= devices().all.size() || devices().all[ordinal]->lost.load(std::memory_order_relaxed)) {
    throw Failure(LH_INVALID, "the other device, of ordinal " + std::to_string(ordinal) + ", is lost or not there");
  }
}

// Throws for an ordinal that is not there, and for a device that is lost.
GpuDevice& device_at(std::uint32_t ordinal) {
  if (ordinal >= devices().all.size()) {
    throw Failure(LH_INVALID,
                  std::string("there is no ") + Vendor::name + " device of ordinal " + std::to_string(ordinal));
  }
  GpuDevice& device = *devices().all[ordinal];
  if (device.lost.load(std::memory_order_relaxed)) {
    throw Failure(LH_DEVICE_LOST, "an earlier fault took the device away");
  }
  return device;
}

// The boundary of every function: failures become a status and a text.
template <class Run>
std::int32_t guarded(lh_error* error, Run&& run) noexcept {
  try {
    run();
    return LH_OK;
  } catch (...) {
    return fail_with_current_exception(error);
  }
}

// The same with the device current. A lost device stays lost.
template <class Run>
std::int32_t on_device(std::uint32_t ordinal, lh_error* error, Run&& run) noexcept {
  const std::int32_t status = guarded(error, [&] {
    device_at(ordinal);
    const DeviceGuard guard(static_cast<int>(ordinal));
    run();
  });
  if (status == LH_DEVICE_LOST) {
    devices().all[ordinal]->lost.store(true, std::memory_order_relaxed);
  }
  return status;
}

// For what gives back: there is nobody to tell of a failure, and on a lost device nothing is left to give back.
template <class Run>
void give_back(std::uint32_t ordinal, Run&& run) noexcept {
  static_cast<void>(on_device(ordinal, nullptr, [&] { check(run(), "to give back"); }));
}

LAYERHUB_GPU(Stream_t) stream_of(void* stream) { return static_cast<LAYERHUB_GPU(Stream_t)>(stream); }
LAYERHUB_GPU(Event_t) event_of(void* event) { return static_cast<LAYERHUB_GPU(Event_t)>(event); }
LAYERHUB_GPU(GraphExec_t) graph_of(void* graph) { return static_cast<LAYERHUB_GPU(GraphExec_t)>(graph); }
char* at(void* memory, std::size_t offset) { return static_cast<char*>(memory) + offset; }
const char* at(const void* memory, std::size_t offset) { return static_cast<const char*>(memory) + offset; }

struct GpuRuntime {
  static std::int32_t count(std::uint32_t* out, lh_error* error) {
    *out = 0;
    return guarded(error, [&] {
      *out = static_cast<std::uint32_t>(devices().all.size());
      if (*out == 0) {
        fail(error, LH_OK, devices().why_none);
      }
    });
  }

  static std::int32_t info(std::uint32_t ordinal, lh_device_info* out, lh_error* error) {
    return on_device(ordinal, error, [&] {
      const GpuDevice& device = device_at(ordinal);
      lh_device_info whole{};
      whole.struct_size = out->struct_size;
      whole.capability = device.capability;
      whole.device = {LAYERHUB_GPU_DEVICE, static_cast<std::int32_t>(ordinal)};
      whole.total_memory = device.memory;
      std::size_t free = 0, total = 0;
      check(LAYERHUB_GPU(MemGetInfo)(&free, &total), "to ask for free memory");
      whole.free_memory = free;
      whole.arch = str(device.arch);
      whole.name = str(device.name);
      whole.driver = str(devices().driver);
      std::memcpy(out, &whole, std::min<std::size_t>(out->struct_size, sizeof whole));
    });
  }

  static std::int32_t version(std::uint32_t* major, std::uint32_t* minor, lh_error* error) {
    return guarded(error, [&] {
      const Version version = Vendor::version();
      *major = version.major;
      *minor = version.minor;
    });
  }

  static std::int32_t allocate(std::uint32_t ordinal, std::size_t bytes, void*, void** out, lh_error* error) {
    return on_device(ordinal, error, [&] { check(LAYERHUB_GPU(Malloc)(out, bytes), "to allocate"); });
  }

  // To free waits for what was enqueued before, on every stream.
  static void release(std::uint32_t ordinal, void* memory, void*) {
    give_back(ordinal, [&] { return LAYERHUB_GPU(Free)(memory); });
  }

  static std::int32_t allocate_pinned(std::size_t bytes, void** out, lh_error* error) {
    return guarded(error, [&] { check(Vendor::allocate_pinned(out, bytes), "to allocate pinned memory"); });
  }

  static void release_pinned(void* memory) {
    static_cast<void>(guarded(nullptr, [&] { check(Vendor::release_pinned(memory), "to free pinned memory"); }));
  }

  static std::int32_t copy(DLDevice to, void* dst, std::size_t dst_offset, DLDevice from, const void* src,
                           std::size_t src_offset, std::size_t bytes, void* stream, lh_error* error) {
    const bool to_device = to.device_type == LAYERHUB_GPU_DEVICE, from_device = from.device_type == LAYERHUB_GPU_DEVICE;
    const auto ordinal = static_cast<std::uint32_t>(to_device ? to.device_id : from.device_id);
    return on_device(ordinal, error, [&] {
      void* target = at(dst, dst_offset);
      const void* source = at(src, src_offset);
      if (to_device && from_device && to.device_id != from.device_id) {
        need_other(static_cast<std::uint32_t>(from.device_id));
        check(LAYERHUB_GPU(MemcpyPeerAsync)(target, to.device_id, source, from.device_id, bytes, stream_of(stream)),
              "to copy between devices");
        return;
      }
      const auto kind = to_device && from_device ? LAYERHUB_GPU(MemcpyDeviceToDevice)
                        : to_device              ? LAYERHUB_GPU(MemcpyHostToDevice)
                                                 : LAYERHUB_GPU(MemcpyDeviceToHost);
      check(LAYERHUB_GPU(MemcpyAsync)(target, source, bytes, kind, stream_of(stream)), "to copy");
    });
  }

  static std::int32_t fill(std::uint32_t ordinal, void* dst, std::size_t offset, std::uint8_t value, std::size_t bytes,
                           void* stream, lh_error* error) {
    return on_device(ordinal, error, [&] {
      check(LAYERHUB_GPU(MemsetAsync)(at(dst, offset), value, bytes, stream_of(stream)), "to fill");
    });
  }

  // It does not wait for the default stream, nor that for it.
  static std::int32_t stream_create(std::uint32_t ordinal, void** out, lh_error* error) {
    return on_device(ordinal, error, [&] {
      LAYERHUB_GPU(Stream_t) stream = nullptr;
      check(LAYERHUB_GPU(StreamCreateWithFlags)(&stream, LAYERHUB_GPU(StreamNonBlocking)), "to make a stream");
      *out = stream;
    });
  }

  static void stream_destroy(std::uint32_t ordinal, void* stream) {
    give_back(ordinal, [&] { return LAYERHUB_GPU(StreamDestroy)(stream_of(stream)); });
  }

  static std::int32_t stream_synchronize(std::uint32_t ordinal, void* stream, lh_error* error) {
    return on_device(ordinal, error,
                     [&] { check(LAYERHUB_GPU(StreamSynchronize)(stream_of(stream)), "to wait for a stream"); });
  }

  static std::int32_t stream_ordinal(void* stream, std::uint32_t* out, lh_error* error) {
    return guarded(error,
                   [&] { *out = Vendor::ordinal_of(stream_of(stream), static_cast<int>(devices().all.size())); });
  }

  static std::int32_t stream_wait_event(std::uint32_t ordinal, void* stream, void* event, lh_error* error) {
    return on_device(ordinal, error, [&] {
      check(LAYERHUB_GPU(StreamWaitEvent)(stream_of(stream), event_of(event), 0), "to make a stream wait");
    });
  }

  static std::int32_t event_record(std::uint32_t ordinal, void* stream, void** out, lh_error* error) {
    return on_device(ordinal, error, [&] {
      LAYERHUB_GPU(Event_t) event = nullptr;
      check(LAYERHUB_GPU(EventCreate)(&event), "to make an event");
      if (const auto code = LAYERHUB_GPU(EventRecord)(event, stream_of(stream)); code != LAYERHUB_GPU(Success)) {
        static_cast<void>(LAYERHUB_GPU(EventDestroy)(event));
        check(code, "to record an event");
      }
      *out = event;
    });
  }

  static std::int32_t event_query(std::uint32_t ordinal, void* event, std::uint32_t* done, lh_error* error) {
    return on_device(ordinal, error, [&] {
      const auto code = LAYERHUB_GPU(EventQuery)(event_of(event));
      *done = code == LAYERHUB_GPU(Success) ? 1 : 0;
      if (code == LAYERHUB_GPU(ErrorNotReady)) {
        static_cast<void>(LAYERHUB_GPU(GetLastError)());  // an answer, no error
        return;
      }
      check(code, "work before an event");
    });
  }

  static std::int32_t event_synchronize(std::uint32_t ordinal, void* event, lh_error* error) {
    return on_device(ordinal, error,
                     [&] { check(LAYERHUB_GPU(EventSynchronize)(event_of(event)), "to wait for an event"); });
  }

  static std::int32_t event_elapsed(std::uint32_t ordinal, void* first, void* second, double* seconds,
                                    lh_error* error) {
    return on_device(ordinal, error, [&] {
      float milliseconds = 0;
      check(LAYERHUB_GPU(EventElapsedTime)(&milliseconds, event_of(first), event_of(second)),
            "to measure between events");
      *seconds = 1e-3 * static_cast<double>(milliseconds);
    });
  }

  static void event_destroy(std::uint32_t ordinal, void* event) {
    give_back(ordinal, [&] { return LAYERHUB_GPU(EventDestroy)(event_of(event)); });
  }

  static std::int32_t current(std::uint32_t* ordinal, lh_error* error) {
    return guarded(error, [&] {
      int device = 0;
      check(LAYERHUB_GPU(GetDevice)(&device), "to ask for the current device");
      *ordinal = static_cast<std::uint32_t>(device);
    });
  }

  static std::int32_t set_current(std::uint32_t ordinal, lh_error* error) {
    return guarded(error, [&] {
      device_at(ordinal);
      check(LAYERHUB_GPU(SetDevice)(static_cast<int>(ordinal)), "to change the current device");
    });
  }

  static std::int32_t last_error(std::uint32_t ordinal, lh_error* error) {
    return on_device(ordinal, error, [] {});
  }

  // Other threads may go on as they like while this one records.
  static std::int32_t capture_begin(std::uint32_t ordinal, void* stream, lh_error* error) {
    return on_device(ordinal, error, [&] {
      check(LAYERHUB_GPU(StreamBeginCapture)(stream_of(stream), LAYERHUB_GPU(StreamCaptureModeThreadLocal)),
            "to begin a capture");
    });
  }

  static std::int32_t capture_end(std::uint32_t ordinal, void* stream, void** out, lh_error* error) {
    return on_device(ordinal, error, [&] {
      LAYERHUB_GPU(Graph_t) graph = nullptr;
      LAYERHUB_GPU(GraphExec_t) ready = nullptr;
      check(LAYERHUB_GPU(StreamEndCapture)(stream_of(stream), &graph), "to end a capture");
      const auto code = Vendor::instantiate(&ready, graph);
      static_cast<void>(LAYERHUB_GPU(GraphDestroy)(graph));
      check(code, "to make a graph ready");
      *out = ready;
    });
  }

  static std::int32_t graph_launch(std::uint32_t ordinal, void* graph, void* stream, lh_error* error) {
    return on_device(ordinal, error, [&] {
      check(LAYERHUB_GPU(GraphLaunch)(graph_of(graph), stream_of(stream)), "to launch a graph");
    });
  }

  static void graph_destroy(std::uint32_t ordinal, void* graph) {
    give_back(ordinal, [&] { return LAYERHUB_GPU(GraphExecDestroy)(graph_of(graph)); });
  }
};
LAYERHUB_DEVICE_RUNTIME(LAYERHUB_GPU_DEVICE, GpuRuntime);

}  // namespace
