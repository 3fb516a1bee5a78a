/* SPDX-License-Identifier: Apache-2.0 */
/* "lh.device/1", an extension of a plugin: the runtime of one device type, which a host drives without linking it.
 *
 * A host asks for it when a tensor of that type first appears, or when it asks what devices there are. A system without
 * the driver or without a card has zero devices and a reason, never an error. Memory is what DLTensor.data holds for
 * the type: an address on CUDA and HIP, a cl_mem on OpenCL, where byte_offset alone tells views of one buffer apart. A
 * stream is what lh_call.stream holds: cudaStream_t, hipStream_t, cl_command_queue (in order), or what the runtime made
 * of its own.
 *
 * Errors: every function that can fail returns a status and fills the error. LH_OUT_OF_MEMORY leaves everything as it
 * was. LH_DEVICE_LOST is sticky: every later call on that ordinal returns it. An error of work that was enqueued
 * earlier is reported by whichever call sees it first, and by last_error from then on.
 *
 * Work on one stream runs in the order in which it was enqueued. All functions are [any thread], but for set_current,
 * which speaks of the calling thread.
 */
#ifndef LAYERHUB_ABI_DEVICE_H
#define LAYERHUB_ABI_DEVICE_H

#include <layerhub/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LH_DEVICE_1_ID "lh.device/1"

typedef struct lh_device_1 {
  uint32_t struct_size;
  int32_t device_type; /* a DLDeviceType */

  /* ---- What is there ---- */
  /* The number of devices; ordinals count from 0 and stay what they are for the life of the process. LH_OK with 0 and
   * one line of text that says why: no driver, no card. Cheap after the first time. */
  int32_t (*count)(uint32_t* out, lh_error*);
  /* capability, arch, memory, name, driver of one device; asked anew each time (free_memory changes). */
  int32_t (*info)(uint32_t ordinal, lh_device_info* out, lh_error*);
  /* The version that variants are chosen by: CUDA's of the driver (13, 0), ROCm's, the OpenCL version of the least
   * device. Only where count is not 0. */
  int32_t (*version)(uint32_t* major, uint32_t* minor, lh_error*);

  /* ---- Memory ---- */
  /* Contents are undefined; aligned to 256 bytes at least. bytes is not 0. Where stream is not NULL the memory is
   * usable in that stream's order, and after a synchronisation elsewhere. */
  int32_t (*allocate)(uint32_t ordinal, size_t bytes, void* stream, void** out, lh_error*);
  /* After what the stream has been given so far, where it is not NULL; else at once: no work may use it any more. */
  void (*release)(uint32_t ordinal, void* memory, void* stream);
  /* Memory of the host that the device reads and writes without a staging copy. NULL: the runtime has none. */
  int32_t (*allocate_pinned)(size_t bytes, void** out, lh_error*);
  void (*release_pinned)(void*);
  /* Copies bytes between the host (device_type kDLCPU) and a device of this type, or between two of this type, in the
   * order of the stream, which is one of `to` or `from`. Host memory must stay valid until the stream has passed;
   * where it is not pinned, the call may wait for it. */
  int32_t (*copy)(DLDevice to, void* dst, size_t dst_offset, DLDevice from, const void* src, size_t src_offset,
                  size_t bytes, void* stream, lh_error*);
  int32_t (*fill)(uint32_t ordinal, void* dst, size_t offset, uint8_t value, size_t bytes, void* stream, lh_error*);

  /* ---- Streams and events ---- */
  int32_t (*stream_create)(uint32_t ordinal, void** out, lh_error*);
  void (*stream_destroy)(uint32_t ordinal, void* stream); /* what it was given still runs */
  int32_t (*stream_synchronize)(uint32_t ordinal, void* stream, lh_error*);
  /* The ordinal of a stream, also of one that the host made itself: a stream of another device is refused by it. */
  int32_t (*stream_ordinal)(void* stream, uint32_t* out, lh_error*);
  int32_t (*stream_wait_event)(uint32_t ordinal, void* stream, void* event, lh_error*);
  /* A new event that is done when what the stream has been given so far is. */
  int32_t (*event_record)(uint32_t ordinal, void* stream, void** event, lh_error*);
  int32_t (*event_query)(uint32_t ordinal, void* event, uint32_t* done, lh_error*); /* never waits */
  int32_t (*event_synchronize)(uint32_t ordinal, void* event, lh_error*);
  /* Between two events that are done, in seconds of the device's clock. */
  int32_t (*event_elapsed)(uint32_t ordinal, void* first, void* second, double* seconds, lh_error*);
  void (*event_destroy)(uint32_t ordinal, void* event);

  /* ---- The current device of a thread, which some runtimes have. Both NULL: this one has none. ---- */
  int32_t (*current)(uint32_t* ordinal, lh_error*);
  int32_t (*set_current)(uint32_t ordinal, lh_error*);

  /* The sticky error of a device; LH_OK if there is none. */
  int32_t (*last_error)(uint32_t ordinal, lh_error*);

  /* ---- Graphs: what a stream is given between begin and end is recorded. All NULL: the runtime has none. ---- */
  int32_t (*capture_begin)(uint32_t ordinal, void* stream, lh_error*);
  int32_t (*capture_end)(uint32_t ordinal, void* stream, void** graph, lh_error*);
  int32_t (*graph_launch)(uint32_t ordinal, void* graph, void* stream, lh_error*);
  void (*graph_destroy)(uint32_t ordinal, void* graph);

  /* What a host that speaks the runtime itself needs: "opencl.context", "opencl.device". LH_UNSUPPORTED: not known. */
  int32_t (*native)(uint32_t ordinal, const char* what, void** out, lh_error*);
} lh_device_1;

#ifdef __cplusplus
}
#endif
#endif
