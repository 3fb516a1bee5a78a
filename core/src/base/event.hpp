// SPDX-License-Identifier: Apache-2.0
// Events on their way to the host's hook.
#pragma once

#include <layerhub/events.hpp>

namespace layerhub {

// Whether anybody listens: an event's text is not made for nobody. [thread-safe]
bool has_event_hook() noexcept;

// [thread-safe]
void notify(const LoaderEvent& event) noexcept;

}  // namespace layerhub
