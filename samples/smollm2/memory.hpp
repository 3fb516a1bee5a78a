// SPDX-License-Identifier: Apache-2.0
// What a run took of the machine's memory, in bytes.
#pragma once

#include <cstdint>

namespace smollm2 {

struct MemoryUse {
  std::uint64_t peak = 0;  // of the process so far: program, mapped file, packed weights, all
  std::uint64_t kv_cache = 0, activations = 0;

  // What the model itself takes at the worst moment.
  std::uint64_t without_sequence() const {
    const std::uint64_t sequence = kv_cache + activations;
    return peak > sequence ? peak - sequence : 0;
  }
};

// The largest resident set of this process until now; 0 where the system does not say.
std::uint64_t peak_resident_bytes();

}  // namespace smollm2
