// SPDX-License-Identifier: Apache-2.0
// LAYERHUB_DEVICE_RUNTIME: a struct with the functions of lh.device/1 becomes the runtime that a plugin offers.
//
//   struct MyRuntime {
//     static std::int32_t count(std::uint32_t* out, lh_error* error) {...}
//     ...
//   };
//   LAYERHUB_DEVICE_RUNTIME(kDLOpenCL, MyRuntime);
//
// The names are those of lh_device_1 (abi/device.h), which says what each has to do. One that every host relies on and
// the struct lacks does not compile; what a runtime need not have is NULL in the table.
#pragma once

#include <layerhub/abi/device.h>
#include <layerhub/sdk/extension.hpp>

namespace layerhub::sdk {

#define LAYERHUB_IF_IT_HAS(Name)                \
  if constexpr (requires { &Runtime::Name; }) { \
    table.Name = &Runtime::Name;                \
  }

template <class Runtime>
consteval lh_device_1 device_runtime_table(DLDeviceType type) {
  lh_device_1 table{};
  table.struct_size = sizeof table;
  table.device_type = type;
  table.count = &Runtime::count;
  table.info = &Runtime::info;
  table.version = &Runtime::version;
  table.allocate = &Runtime::allocate;
  table.release = &Runtime::release;
  LAYERHUB_IF_IT_HAS(allocate_pinned)
  LAYERHUB_IF_IT_HAS(release_pinned)
  table.copy = &Runtime::copy;
  table.fill = &Runtime::fill;
  table.stream_create = &Runtime::stream_create;
  table.stream_destroy = &Runtime::stream_destroy;
  table.stream_synchronize = &Runtime::stream_synchronize;
  table.stream_ordinal = &Runtime::stream_ordinal;
  table.stream_wait_event = &Runtime::stream_wait_event;
  table.event_record = &Runtime::event_record;
  table.event_query = &Runtime::event_query;
  table.event_synchronize = &Runtime::event_synchronize;
  table.event_elapsed = &Runtime::event_elapsed;
  table.event_destroy = &Runtime::event_destroy;
  LAYERHUB_IF_IT_HAS(current)
  LAYERHUB_IF_IT_HAS(set_current)
  table.last_error = &Runtime::last_error;
  LAYERHUB_IF_IT_HAS(capture_begin)
  LAYERHUB_IF_IT_HAS(capture_end)
  LAYERHUB_IF_IT_HAS(graph_launch)
  LAYERHUB_IF_IT_HAS(graph_destroy)
  LAYERHUB_IF_IT_HAS(native)
  return table;
}

#undef LAYERHUB_IF_IT_HAS

}  // namespace layerhub::sdk

#define LAYERHUB_DEVICE_RUNTIME(Type, Runtime)                                                                  \
  static constinit const lh_device_1 Runtime##_lh_table = ::layerhub::sdk::device_runtime_table<Runtime>(Type); \
  LAYERHUB_EXTENSION(LH_DEVICE_1_ID, Runtime##_lh_table)
