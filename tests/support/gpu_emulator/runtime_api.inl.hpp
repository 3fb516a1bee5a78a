// SPDX-License-Identifier: Apache-2.0
// The functions that CUDA's and HIP's runtimes have in common but for their prefix, over the emulated runtime. Included
// once by cuda_runtime.h and hip_runtime.h, which define EMULATED(Name) and emulated_vendor, and add what differs. No
// more than plugins of this project call.
#include "device_code.hpp"
#include "emulated_runtime.hpp"

#include <tuple>
#include <type_traits>
#include <utility>

using EMULATED(Stream_t) = layerhub::gpu_emulator::Stream*;
using EMULATED(Event_t) = layerhub::gpu_emulator::Event*;
using EMULATED(Graph_t) = layerhub::gpu_emulator::Graph*;
using EMULATED(GraphExec_t) = layerhub::gpu_emulator::Graph*;

enum EMULATED(MemcpyKind) {
  EMULATED(MemcpyHostToDevice) = 1,
  EMULATED(MemcpyDeviceToHost),
  EMULATED(MemcpyDeviceToDevice)
};

enum EMULATED(StreamCaptureMode) { EMULATED(StreamCaptureModeThreadLocal) = 1 };

enum EMULATED(StreamFlags) { EMULATED(StreamNonBlocking) = 1 };

// ---- Errors ----

inline const char* EMULATED(GetErrorName)(EMULATED(Error_t) code) {
  return layerhub::gpu_emulator::name_of(emulated_vendor, code);
}
inline EMULATED(Error_t) EMULATED(GetLastError)() {
  return static_cast<EMULATED(Error_t)>(layerhub::gpu_emulator::take_last_error(emulated_vendor));
}
// One function of the runtime: its name here, the parameters, the function behind it and what that is given.
#define EMULATED_FUNCTION(Name, parameters, function, ...)                             \
  inline EMULATED(Error_t) EMULATED(Name) parameters {                                 \
    return static_cast<EMULATED(Error_t)>(                                             \
        layerhub::gpu_emulator::function(emulated_vendor __VA_OPT__(, ) __VA_ARGS__)); \
  }

// ---- Devices ----

inline EMULATED(Error_t) emulated_multiprocessors(int* count, int ordinal) {
  layerhub::gpu_emulator::Properties from;
  const int code = layerhub::gpu_emulator::properties(emulated_vendor, ordinal, &from);
  *count = from.multiprocessors;
  return static_cast<EMULATED(Error_t)>(code);
}

// What is in both vendors' structs of properties; `more` fills what is in one.
template <class Out, class More>
EMULATED(Error_t)
emulated_properties(Out* out, int ordinal, More&& more) {
  layerhub::gpu_emulator::Properties from;
  const int code = layerhub::gpu_emulator::properties(emulated_vendor, ordinal, &from);
  *out = {};
  from.name.copy(out->name, sizeof out->name - 1);
  out->totalGlobalMem = from.memory;
  out->major = from.major;
  out->minor = from.minor;
  more(from);
  return static_cast<EMULATED(Error_t)>(code);
}

EMULATED_FUNCTION(GetDeviceCount, (int* count), device_count, count)
EMULATED_FUNCTION(SetDevice, (int ordinal), set_device, ordinal)
EMULATED_FUNCTION(GetDevice, (int* ordinal), get_device, ordinal)
EMULATED_FUNCTION(MemGetInfo, (std::size_t * free, std::size_t* total), memory_info, free, total)

// ---- Memory ----

EMULATED_FUNCTION(Malloc, (void** memory, std::size_t bytes), allocate, memory, bytes)
EMULATED_FUNCTION(Free, (void* memory), release, memory)
EMULATED_FUNCTION(MemsetAsync, (void* to, int value, std::size_t bytes, EMULATED(Stream_t) stream), fill, to, value,
                  bytes, stream)
EMULATED_FUNCTION(MemcpyAsync,
                  (void* to, const void* from, std::size_t bytes, EMULATED(MemcpyKind) kind, EMULATED(Stream_t) stream),
                  copy, to, from, bytes, static_cast<layerhub::gpu_emulator::Direction>(kind), stream)
EMULATED_FUNCTION(MemcpyPeerAsync, (void* to, int, const void* from, int, std::size_t bytes, EMULATED(Stream_t) stream),
                  copy, to, from, bytes, layerhub::gpu_emulator::Direction::device_to_device, stream)

// ---- Streams and events ----

EMULATED_FUNCTION(StreamCreateWithFlags, (EMULATED(Stream_t) * stream, EMULATED(StreamFlags)), create_stream, stream)
EMULATED_FUNCTION(StreamDestroy, (EMULATED(Stream_t) stream), destroy_stream, stream)
EMULATED_FUNCTION(StreamSynchronize, (EMULATED(Stream_t) stream), synchronize_stream, stream)
EMULATED_FUNCTION(StreamGetDevice, (EMULATED(Stream_t) stream, int* ordinal), device_of, stream, ordinal)
EMULATED_FUNCTION(StreamWaitEvent, (EMULATED(Stream_t) stream, EMULATED(Event_t) event, unsigned = 0), wait_for, stream,
                  event)
EMULATED_FUNCTION(EventCreate, (EMULATED(Event_t) * event), create_event, event)
EMULATED_FUNCTION(EventDestroy, (EMULATED(Event_t) event), destroy_event, event)
EMULATED_FUNCTION(EventRecord, (EMULATED(Event_t) event, EMULATED(Stream_t) stream = nullptr), record_event, event,
                  stream)
EMULATED_FUNCTION(EventQuery, (EMULATED(Event_t) event), query_event, event)
EMULATED_FUNCTION(EventSynchronize, (EMULATED(Event_t) event), synchronize_event, event)
EMULATED_FUNCTION(EventElapsedTime, (float* milliseconds, EMULATED(Event_t) first, EMULATED(Event_t) second), elapsed,
                  first, second, milliseconds)

// ---- Graphs ----

EMULATED_FUNCTION(StreamBeginCapture, (EMULATED(Stream_t) stream, EMULATED(StreamCaptureMode)), begin_capture, stream)
EMULATED_FUNCTION(StreamEndCapture, (EMULATED(Stream_t) stream, EMULATED(Graph_t) * graph), end_capture, stream, graph)
EMULATED_FUNCTION(GraphLaunch, (EMULATED(GraphExec_t) graph, EMULATED(Stream_t) stream), launch_graph, graph, stream)
EMULATED_FUNCTION(GraphDestroy, (EMULATED(Graph_t) graph), destroy_graph, graph)
EMULATED_FUNCTION(GraphExecDestroy, (EMULATED(GraphExec_t) graph), destroy_graph, graph)

// ---- Launches ----

namespace layerhub::gpu_emulator {

// Arguments are copied when a kernel is launched, and each thread gets a copy of its own.
template <class... Parameters, class... Arguments>
int launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream* stream,
                  Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "a kernel's parameters are copied byte by byte");
  static_assert((sizeof(Parameters) + ... + 0) <= 4096, "no device takes that many bytes of parameters");
  Launch described;
  described.kernel = reinterpret_cast<const void*>(kernel);
  described.grid = grid;
  described.block = block;
  described.shared_bytes = shared_bytes;
  described.body = [kernel, all = std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)] {
    std::apply(kernel, all);
  };
  return launch(emulated_vendor, std::move(described), stream);
}

}  // namespace layerhub::gpu_emulator
