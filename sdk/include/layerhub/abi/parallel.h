/* SPDX-License-Identifier: Apache-2.0 */
/* "lh.parallel/1", an extension of the host: its threads, lent to kernels for the length of a call.
 *
 * Kernels never start threads of their own: two pools on one machine oversubscribe it, and a host with its own workers
 * (an inference server, an audio engine) decides alone where work runs.
 */
#ifndef LAYERHUB_ABI_PARALLEL_H
#define LAYERHUB_ABI_PARALLEL_H

#include <layerhub/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LH_PARALLEL_1_ID "lh.parallel/1"

typedef struct lh_parallel_1 {
  uint32_t struct_size, reserved;
  /* How many workers can run at once, the caller included; at least 1. May change between calls, never within run().
   * [any thread] */
  uint32_t (*width)(const lh_host*);
  /* Runs task(user, index, worker) once for each index < n_tasks with worker < width(), in any order and on any of the
   * workers, and returns when all have run; what they wrote is visible to the caller then. No two tasks that run at the
   * same time have the same worker number. A run inside a task is serial in its caller. A task must not throw.
   * Like the thread that calls forward, each worker has at least 256 KiB of stack for it.
   * [any thread] */
  void (*run)(const lh_host*, uint32_t n_tasks, void (*task)(void* user, uint32_t index, uint32_t worker), void* user);
} lh_parallel_1;

#ifdef __cplusplus
}
#endif
#endif
