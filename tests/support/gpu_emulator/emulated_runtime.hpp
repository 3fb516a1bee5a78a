// SPDX-License-Identifier: Apache-2.0
// The runtime behind cuda_runtime.h and hip/hip_runtime.h: devices, memory, streams, events, graphs. Functions return
// the codes that both vendors number alike.
//
// Streams are queues that run when somebody waits for them, as late as is allowed: a kernel on a stream that is not its
// call's, or memory given back too early, gives wrong results here too. Device memory can't be touched by the host: it
// is mapped without access but while work of its device runs. A kernel's error is the device's from then on.
//
// What devices there are: LAYERHUB_EMULATED_CUDA, a list of compute capabilities (default "80,90"), and
// LAYERHUB_EMULATED_ROCM, one of architectures ("gfx90a,gfx906"); an empty one is a system without a device.
#pragma once

#include "launch.hpp"

#include <cstddef>
#include <string>

namespace layerhub::gpu_emulator {

enum class Vendor { cuda, rocm };

enum Code : int {
  success = 0,
  invalid_value = 1,
  out_of_memory = 2,
  invalid_configuration = 9,
  no_device = 100,
  invalid_device = 101,
  invalid_handle = 400,
  not_ready = 600,
  launch_failed = 719,
  not_in_capture = 900,
  capture_broken = 901,
  capture_implicit = 906
};

struct Stream;
struct Event;
struct Graph;

struct Properties {
  std::string name, arch;
  int major = 0, minor = 0, multiprocessors = 0, warp = 0;
  int l2_bytes = 0;
  std::size_t memory = 0, shared_bytes = 0;  // shared: of a block
};

enum class Direction { host_to_device = 1, device_to_host, device_to_device };

const char* name_of(Vendor vendor, int code);
const char* text_of(Vendor vendor, int code);  // a failed launch: the kernel's error
int take_last_error(Vendor vendor);

Code device_count(Vendor vendor, int* count);
Code properties(Vendor vendor, int ordinal, Properties* out);
Code set_device(Vendor vendor, int ordinal);
Code get_device(Vendor vendor, int* ordinal);
Code memory_info(Vendor vendor, std::size_t* free, std::size_t* total);

Code allocate(Vendor vendor, void** memory, std::size_t bytes);
Code release(Vendor vendor, void* memory);
Code allocate_pinned(Vendor vendor, void** memory, std::size_t bytes);
Code release_pinned(Vendor vendor, void* memory);
Code copy(Vendor vendor, void* to, const void* from, std::size_t bytes, Direction direction, Stream* stream);
Code fill(Vendor vendor, void* to, int value, std::size_t bytes, Stream* stream);

Code create_stream(Vendor vendor, Stream** stream);  // does not wait for the default stream, nor that for it
Code destroy_stream(Vendor vendor, Stream* stream);
Code synchronize_stream(Vendor vendor, Stream* stream);
Code device_of(Vendor vendor, Stream* stream, int* ordinal);
Code wait_for(Vendor vendor, Stream* stream, Event* event);

Code create_event(Vendor vendor, Event** event);
Code destroy_event(Vendor vendor, Event* event);
Code record_event(Vendor vendor, Event* event, Stream* stream);
Code query_event(Vendor vendor, Event* event);
Code synchronize_event(Vendor vendor, Event* event);
Code elapsed(Vendor vendor, Event* first, Event* second, float* milliseconds);

Code launch(Vendor vendor, Launch launch, Stream* stream);

Code begin_capture(Vendor vendor, Stream* stream);
Code end_capture(Vendor vendor, Stream* stream, Graph** graph);
Code copy_graph(Vendor vendor, Graph** copy, const Graph* graph);
Code launch_graph(Vendor vendor, Graph* graph, Stream* stream);
Code destroy_graph(Vendor vendor, Graph* graph);

}  // namespace layerhub::gpu_emulator
