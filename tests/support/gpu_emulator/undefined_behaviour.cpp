// SPDX-License-Identifier: Apache-2.0
// Device code is compiled with -fsanitize=alignment,bounds, and here is what its checks call: an access that is not
// aligned to its type, which faults on a device and works on the host's processor, and an index beyond an array, such
// as a __shared__ one. The structures are those of the compiler's interface.
#include "meeting.hpp"

#include <cstdio>

namespace {

struct SourceLocation {
  const char* file;
  std::uint32_t line, column;
};

struct TypeDescriptor {
  std::uint16_t kind, info;
  char name[1];  // as long as it is
};

struct TypeMismatch {
  SourceLocation place;
  const TypeDescriptor* type;
  unsigned char log_alignment, check;
};

struct OutOfBounds {
  SourceLocation place;
  const TypeDescriptor* array;
  const TypeDescriptor* index;
};

}  // namespace

extern "C" {

[[noreturn]] void __ubsan_handle_type_mismatch_v1_abort(TypeMismatch* found, std::uintptr_t address) {
  char text[256];
  std::snprintf(text, sizeof text, "an access to %s at an address that is %s %u bytes", found->type->name,
                address == 0 ? "null, not one of" : "not aligned to", 1u << found->log_alignment);
  layerhub::gpu_emulator::fail(text, found->place.file, found->place.line);
}

[[noreturn]] void __ubsan_handle_out_of_bounds_abort(OutOfBounds* found, std::uintptr_t index) {
  char text[256];
  std::snprintf(text, sizeof text, "index %lld is outside of %s", static_cast<long long>(index), found->array->name);
  layerhub::gpu_emulator::fail(text, found->place.file, found->place.line);
}
}
