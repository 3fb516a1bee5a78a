// SPDX-License-Identifier: Apache-2.0
// The state that a call reads: a layer's slot, the thread's record, and the pin that keeps a binding alive.
//
// A slot is one atomic pointer to an immutable dispatch table; a table row says which binding serves a device under a
// mapping. A binding is taken away by publishing another table and retiring the old one. What protects a call in flight
// is its thread's sequence number: odd while the thread is between enter() and leave(). Entering is a plain store and a
// compiler barrier; the retiring side runs membarrier(2), which makes every thread's stores visible, and then waits for
// each odd sequence to move on (core/src/dispatch/epoch.cpp). ThreadSanitizer does not know membarrier, so there the
// same function uses a sequentially consistent exchange.
//
// Not part of the API: a host includes it through layer.hpp.
#pragma once

#include <layerhub/abi.h>
#include <layerhub/export.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace layerhub::detail {

inline constexpr std::size_t max_inputs = 16;  // params included
inline constexpr std::size_t max_outputs = 8;  // states included
inline constexpr std::size_t max_scalars = 8;

struct CallFrame;

// What a call needs of a binding; the rest of it is core's (core/src/dispatch/binding.hpp).
struct BoundCall {
  // Both take a frame that holds the host's tensors and scalars in its own order. LH_OK, a status of the kernel, or
  // own_forward. No exceptions pass, but the type does not say so: a noexcept caller could not jump to the kernel.
  using Run = std::int32_t (*)(const BoundCall&, CallFrame&);
  Run run = nullptr;            // checks the declared constraints, then calls the kernel
  Run run_unchecked = nullptr;  // of tensors that have been checked
};

// Beside the statuses of abi.h: no kernel serves, or a declared constraint does not hold, which has been counted.
inline constexpr std::int32_t own_forward = -1;
// The tensors of a call are on several devices: no forward can serve it.
inline constexpr std::int32_t on_several_devices = -2;

// One row: bindings made by kernelize hold under every mapping.
inline constexpr std::uint64_t any_mapping = 0;
struct DispatchRow {
  std::uint64_t device;      // the bytes of the DLDevice that tensors name
  std::uint64_t mapping;     // the id of the mapping that the row was made under, or any_mapping
  const BoundCall* binding;  // never nullptr: where the layer runs its own forward, one that says so
};
// The first row stands in the table itself: a layer that has one, as most have, is served after one load.
struct DispatchTable {
  DispatchRow first;
  const DispatchRow* more = nullptr;  // the other rows
  std::uint32_t n_more = 0;
  std::uint64_t serial = 0;  // unique in the process, unlike the table's address
};
LAYERHUB_API extern const DispatchTable empty_table;

struct CallFrame {
  lh_call call;    // its workspace is the frame's own and grows as layouts ask for it
  lh_error error;  // its length is 0 between calls
  const DLTensor* in[max_inputs];
  DLTensor* out[max_outputs];
  lh_scalar scalars[max_scalars];
  char text[512];
};

// One per thread that has called a layer; never freed, reused after the thread's end.
struct alignas(64) ThreadRecord {
  std::atomic<std::uint64_t> sequence{0};  // odd: a call of this thread is in flight
  std::uint64_t scope = 0;                 // the id of the thread's innermost mapping scope; 0: none
  CallFrame frame;

  // false: a call of this thread is in flight already, which keeps every binding alive for the nested one too.
  bool enter() noexcept {
    const std::uint64_t now = sequence.load(std::memory_order_relaxed);
    if ((now & 1u) != 0) [[unlikely]] {
      return false;
    }
#if defined(__SANITIZE_THREAD__)
    sequence.exchange(now + 1, std::memory_order_seq_cst);
#else
    sequence.store(now + 1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
    return true;
  }
  void leave() noexcept { sequence.store(sequence.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
};

// `__thread`, since a C++ thread_local seen from another library is reached through a function call; initial-exec,
// since eight bytes always fit in the space that the C library keeps for libraries that are loaded late.
// Never nullptr: a thread that has called no layer yet has one that can't be entered, which saves the call a test.
LAYERHUB_API extern __thread ThreadRecord* this_thread __attribute__((tls_model("initial-exec")));
// The record of the calling thread, made at the first need. Throws Error in a child of fork, which has this process'
// bindings but not the threads that they run on.
LAYERHUB_API ThreadRecord& attached_thread();

// The id of the process-wide mapping.
LAYERHUB_API extern std::atomic<std::uint64_t> default_mapping;

inline std::uint64_t current_mapping(const ThreadRecord& thread) noexcept {
  return thread.scope != 0 ? thread.scope : default_mapping.load(std::memory_order_acquire);
}

inline std::uint64_t device_key(const DLDevice& device) noexcept {
  std::uint64_t key;
  static_assert(sizeof key == sizeof device);
  std::memcpy(&key, &device, sizeof key);
  return key;
}

struct LayerState;

// The member of every marked layer. A copy is unbound, a move keeps the binding. Destroying, copying or moving a layer
// is for when no call of it is in flight; everything else may happen at any time.
class LAYERHUB_API LayerSlot {
 public:
  LayerSlot() noexcept = default;
  LayerSlot(const LayerSlot&) noexcept {}
  LayerSlot(LayerSlot&& other) noexcept { take(other); }
  LayerSlot& operator=(const LayerSlot& other) noexcept {
    if (this != &other) {
      release();
    }
    return *this;
  }
  LayerSlot& operator=(LayerSlot&& other) noexcept {
    if (this != &other) {
      release();
      take(other);
    }
    return *this;
  }
  ~LayerSlot() { release(); }

  const DispatchTable& table() const noexcept { return *table_.load(std::memory_order_acquire); }

  // For core/src/dispatch/layer_state.cpp alone.
  std::atomic<const DispatchTable*>& published() noexcept { return table_; }
  std::atomic<LayerState*>& state() noexcept { return state_; }

 private:
  void take(LayerSlot& other) noexcept {
    state_.store(other.state_.exchange(nullptr));
    table_.store(other.table_.exchange(&empty_table));
  }
  void release() noexcept {
    if (LayerState* state = state_.exchange(nullptr)) {
      destroy(state, table_.exchange(&empty_table));
    }
  }
  static void destroy(LayerState* state, const DispatchTable* table) noexcept;

  std::atomic<const DispatchTable*> table_{&empty_table};
  std::atomic<LayerState*> state_{nullptr};
};

}  // namespace layerhub::detail
