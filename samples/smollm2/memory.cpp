// SPDX-License-Identifier: Apache-2.0
#include "memory.hpp"

#include <fstream>
#include <string>

namespace smollm2 {

std::uint64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::string key;
  while (status >> key) {
    if (std::uint64_t kib = 0; key == "VmHWM:" && status >> kib) {
      return kib * 1024;
    }
  }
  return 0;
}

}  // namespace smollm2
