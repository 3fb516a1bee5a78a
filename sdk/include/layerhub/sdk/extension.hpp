// SPDX-License-Identifier: Apache-2.0
// LAYERHUB_EXTENSION: a plugin offers an extension of the ABI, for example a device runtime.
//
//   static constinit const lh_device_1 runtime = {...};
//   LAYERHUB_EXTENSION(LH_DEVICE_1_ID, runtime);
//
// As with kernels, the entry stands in a section that the entry unit reads: no list to edit, nothing runs at load.
#pragma once

#include <layerhub/abi.h>

namespace layerhub::sdk {

struct Extension {
  const char* id;
  const void* table;  // constant data of the plugin, of the type that the id stands for
};

}  // namespace layerhub::sdk

#define LAYERHUB_EXTENSION(Id, Table)                                                                              \
  static constinit const ::layerhub::sdk::Extension Table##_lh_extension{Id, &(Table)};                            \
  [[gnu::section("lh_extensions"), gnu::used]] static const ::layerhub::sdk::Extension* const Table##_lh_offered = \
      &Table##_lh_extension
