// SPDX-License-Identifier: Apache-2.0
// The functions behind BoundCall: which one a binding gets is decided by what it needs, so that a call does no more.
#pragma once

#include "dispatch/binding.hpp"

namespace layerhub::dispatch {

// Sets run and run_unchecked. Everything else of the binding is in place.
void choose_run(Binding& binding);

// The row of a layer that runs its own forward.
extern const detail::BoundCall own_forward_call;

// Puts the frame's outputs in the kernel's order. Whether the declared constraints hold; a refusal is counted.
bool constraints_hold(const Binding& binding, detail::CallFrame& frame) noexcept;

// The call of a frame that holds the host's inputs, outputs and scalars, whole: counts, params, device. Outputs are in
// the kernel's order already.
lh_call whole_call(const Binding& binding, detail::CallFrame& frame);

// A constraint that does not hold: counted, with its number. Returns own_forward.
std::int32_t note_refused(const Binding& binding, std::uint32_t constraint) noexcept;

}  // namespace layerhub::dispatch
