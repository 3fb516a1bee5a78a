// SPDX-License-Identifier: Apache-2.0
// Taking something away under calls in flight: retire it once it can no longer be found, and it is destroyed when every
// call that might have found it has ended.
//
// A call marks itself by its thread's sequence number (detail/slot.hpp): odd while it runs. Marking is a plain
// store, so the retiring side pays: membarrier(PRIVATE_EXPEDITED) runs a full barrier on every core that runs a
// thread of this process. After it, a thread whose sequence reads even began no call before that point and will
// find the new table; an odd one may still hold the old, so the retired object waits for exactly those sequences
// to move on. Nobody is waited for: what is not free yet stays in a list and is looked at again with the next
// retirement, or by collect().
//
// Where the system has no membarrier (before Linux 4.14, or forbidden by a filter) what is retired is kept for good,
// which is sound, and said once in the log.
#pragma once

#include <functional>

namespace layerhub::dispatch {

// Runs `destroy` when no call in flight can hold the object any more: at once where none is, else from a later retire()
// or collect(), in whichever thread calls it. The object must be unreachable for new calls. `destroy` must not throw.
// [thread-safe]
void retire(std::function<void()> destroy);

// Destroys what has become free. Returns how many objects still wait. [thread-safe]
std::size_t collect();

// Whether the calling thread has a record. [thread-safe]
bool is_attached() noexcept;

}  // namespace layerhub::dispatch
