// SPDX-License-Identifier: Apache-2.0
// What calls of every kind share beside the common path: arguments into a frame, and what a status means.
#pragma once

#include <layerhub/detail/call.hpp>

namespace layerhub::detail {

// The host's arguments, in the host's order.
void write_to(CallFrame& frame, const CallArguments& arguments) noexcept;

// What a status that is not LH_OK means: true, the host runs its own (counted where the kernel declined); any other
// throws Error(kernel_failed) with the text in the frame. function: "forward" or "backward".
bool is_own_forward(const LayerRef& layer, const BoundCall& binding, std::int32_t status, CallFrame& frame,
                    const char* function);

}  // namespace layerhub::detail
