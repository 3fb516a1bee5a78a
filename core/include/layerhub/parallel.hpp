// SPDX-License-Identifier: Apache-2.0
// The threads that kernels run on. Kernels start none of their own: layerhub lends them its pool, or the host's
// threads.
//
// The pool's workers spin for a millisecond or two after their last task and sleep then, so that the layers of one
// token follow each other without a wake-up and an idle host costs nothing. One run has the pool at a time: a
// second thread that calls a layer meanwhile computes its tasks itself.
#pragma once

#include <layerhub/export.hpp>

#include <cstdint>

namespace layerhub {

// The number of threads of the pool, the caller's included; 0: as many as this process may use processors (the
// default). Waits for tasks that run. [thread-safe]
LAYERHUB_API void set_threads(unsigned count);
LAYERHUB_API unsigned threads() noexcept;

// The host's own threads in place of the pool. Both functions are called from whichever thread calls a layer.
struct ParallelRunner {
  void* context = nullptr;  // the host's, handed back in every call
  // How many tasks can run at once, the caller's included; at least 1, and constant within a run.
  std::uint32_t (*width)(void* context) = nullptr;
  // Runs task(user, index, worker) once for each index < n_tasks with worker < width(), no two at a time with the same
  // worker number, and returns when all have run and what they wrote is visible to the caller.
  void (*run)(void* context, std::uint32_t n_tasks, void (*task)(void* user, std::uint32_t index, std::uint32_t worker),
              void* user) = nullptr;
};

// nullptr brings the pool back. Borrowed until it is replaced; no layer may be running meanwhile.
// Throws Error(invalid_argument) where width or run is missing. [one thread at a time]
LAYERHUB_API void set_parallel(const ParallelRunner* runner);

}  // namespace layerhub
