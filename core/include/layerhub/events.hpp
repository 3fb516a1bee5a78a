// SPDX-License-Identifier: Apache-2.0
// What the loader and the dispatch do, told to the host as it happens, so that it can log or count.
#pragma once

#include <layerhub/export.hpp>

#include <cstdint>
#include <functional>
#include <string_view>

namespace layerhub {

enum class EventKind : std::uint8_t {
  loaded = 1,  // a library was opened; text: its path
  bound,       // a layer got a kernel; text: "layerhub/norm@v1: vector"
  fell_back,   // a layer was bound to its own forward; text: the reason
  declined,    // a kernel returned LH_DECLINED in a call; text: the kernel
  refused      // a declared constraint did not hold in a call; text: which
};
LAYERHUB_API std::string_view to_string(EventKind kind);  // "fell_back"

// Valid during the hook's call.
struct LoaderEvent {
  EventKind kind = EventKind::loaded;
  std::string_view layer;   // "RMSNorm"; empty for loaded
  std::string_view device;  // "cpu", "cuda:1"; empty for loaded
  std::string_view text;
};

// One hook for the process; an empty one takes it away. It is called by whichever thread meets the event, also by
// several at once; for declined and refused inside the layer's call, which waits for it. What it throws is dropped. It
// must not register another hook. Without a hook an event costs one load. [thread-safe]
LAYERHUB_API void set_event_hook(std::function<void(const LoaderEvent&)> hook);

}  // namespace layerhub
