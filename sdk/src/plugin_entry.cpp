// SPDX-License-Identifier: Apache-2.0
// lh_plugin_query_v1: the one symbol that a plugin exports. Compiled into each of its libraries.
//
// This unit is compiled with the baseline's flags even in a library for AVX-512, and is C-like on purpose: an inline
// function in here could be merged by the linker with the copy that a wide unit compiled, and the query of a library
// that does not fit this processor would then die of an illegal instruction. A test looks at the object.
#include <layerhub/abi.h>

#ifndef LAYERHUB_PLUGIN_REPO
#error "LAYERHUB_PLUGIN_REPO, LAYERHUB_PLUGIN_REVISION and LAYERHUB_PLUGIN_BUILD_ID are defined by layerhub_add_plugin"
#endif

// As in sdk/extension.hpp, which this unit does not include.
struct Extension {
  const char* id;
  const void* table;
};

// The linker makes these for every section whose name is a C identifier. A plugin may bring kernels, extensions or
// both; a section that nothing stands in has no such symbols, hence weak. One that brings neither is refused when it
// is described.
#define LAYERHUB_SECTION_END __attribute__((weak, visibility("hidden")))
extern "C" LAYERHUB_SECTION_END const lh_kernel* const __start_lh_kernels[];
extern "C" LAYERHUB_SECTION_END const lh_kernel* const __stop_lh_kernels[];
extern "C" LAYERHUB_SECTION_END const Extension* const __start_lh_extensions[];
extern "C" LAYERHUB_SECTION_END const Extension* const __stop_lh_extensions[];

static bool same_text(const char* a, const char* b) {
  while (*a != 0 && *a == *b) {
    ++a;
    ++b;
  }
  return *a == *b;
}

static const void* get_extension(const char* id) {
  for (const Extension* const* at = __start_lh_extensions; at != __stop_lh_extensions; ++at) {
    if (id != nullptr && same_text((*at)->id, id)) {
      return (*at)->table;
    }
  }
  return nullptr;
}

// Device runtimes and their kernels stay mapped: a driver calls back into them when it pleases.
#ifdef LAYERHUB_PLUGIN_RESIDENT
static const uint32_t plugin_flags = 0;
#else
static const uint32_t plugin_flags = LH_PLUGIN_UNLOADABLE;
#endif

#define LAYERHUB_TEXT(literal) \
  { literal, sizeof(literal) - 1 }

extern "C" __attribute__((visibility("default"))) int32_t lh_plugin_query_v1(uint32_t host_min, uint32_t* minor,
                                                                             const lh_plugin** out, lh_error* error) {
  // The count is known to the linker alone, so it is filled in here. Threads that do so at once write the same value.
  static lh_plugin plugin = {sizeof(lh_plugin),
                             LH_ABI_MINOR,
                             LAYERHUB_TEXT(LAYERHUB_PLUGIN_REPO),
                             LAYERHUB_TEXT(LAYERHUB_PLUGIN_REVISION),
                             LAYERHUB_TEXT(LAYERHUB_PLUGIN_BUILD_ID),
                             LAYERHUB_TEXT(LAYERHUB_PLUGIN_TOOLCHAIN),
                             __start_lh_kernels,
                             0,
                             plugin_flags,
                             &get_extension,
                             nullptr};
  if (host_min > LH_ABI_MINOR) {
    static const char text[] = "this plugin was built for an older minor of the ABI than the host can speak";
    if (error != nullptr && error->text != nullptr) {
      uint32_t length = 0;
      for (; length < error->capacity && text[length] != 0; ++length) {
        error->text[length] = text[length];
      }
      error->length = length;
    }
    return LH_UNSUPPORTED;
  }
  __atomic_store_n(&plugin.n_kernels, static_cast<uint32_t>(__stop_lh_kernels - __start_lh_kernels), __ATOMIC_RELAXED);
  *minor = *minor < LH_ABI_MINOR ? *minor : LH_ABI_MINOR;
  *out = &plugin;
  return LH_OK;
}
