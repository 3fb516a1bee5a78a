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

// The workspace that the tensors of a call need, and what it takes to know that they are the same again.
using FindLayout = std::int32_t (*)(const struct BoundCall&, CallFrame&) noexcept;
// 0: every declared constraint holds for the frame's tensors; else 1 + the index of the first that does not.
using CheckConstraints = std::uint32_t (*)(const struct BoundCall&, const CallFrame&) noexcept;

// What a call needs of a binding; the rest of it is core's (core/src/dispatch/binding.hpp).
struct BoundCall {
  std::int32_t (*forward)(const lh_instance*, const lh_call*, lh_error*) = nullptr;
  const lh_instance* instance = nullptr;
  CheckConstraints check = nullptr;  // nullptr: nothing to check
  FindLayout find_layout = nullptr;  // nullptr: no workspace
  DLDevice device{kDLCPU, 0};
  const DLTensor* const* fixed_in = nullptr;  // what follows the host's inputs: absent optional ones, then the params
  std::uint32_t n_fixed_in = 0;
  std::uint16_t n_in = 0, n_out = 0, n_scalars = 0, n_saved = 0;  // as they stand in lh_call
  std::array<std::uint8_t, max_outputs> out_order{};  // where the host's n-th written tensor stands in lh_call.out
};

// One row: bindings made by kernelize hold under every mapping.
inline constexpr std::uint64_t any_mapping = 0;
struct DispatchRow {
  std::uint64_t device;      // the bytes of the DLDevice that tensors name
  std::uint64_t mapping;     // the id of the mapping that the row was made under, or any_mapping
  const BoundCall* binding;  // nullptr: the layer's own forward
};
struct DispatchTable {
  std::uint32_t n_rows = 0;
  const DispatchRow* rows = nullptr;
};
LAYERHUB_API extern const DispatchTable empty_table;

struct CallFrame {
  lh_call call;  // its workspace is the frame's own and grows in find_layout
  lh_error error;
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
LAYERHUB_API extern __thread ThreadRecord* this_thread __attribute__((tls_model("initial-exec")));
// Makes the record of the calling thread. Throws Error in a child of fork, which has this process' bindings but not the
// threads that they run on.
LAYERHUB_API ThreadRecord& attach_thread();

// The id of the process-wide mapping.
LAYERHUB_API extern std::atomic<std::uint64_t> default_mapping;

inline std::uint64_t current_mapping(const ThreadRecord& thread) noexcept {
  return thread.scope != 0 ? thread.scope : default_mapping.load(std::memory_order_acquire);
}

inline std::uint64_t device_key(DLDevice device) noexcept {
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
