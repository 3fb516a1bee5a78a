// SPDX-License-Identifier: Apache-2.0
// The functions behind BoundCall: which one a binding gets is decided by what it needs, so that a call does no more.
#pragma once

#include "dispatch/binding.hpp"

#include <cstddef>
#include <functional>

namespace layerhub::dispatch {

// Sets run and run_unchecked. Everything else of the binding is in place.
void choose_run(Binding& binding);

// The row of a layer that runs its own forward.
extern const detail::BoundCall own_forward_call;

// Puts the frame's outputs in the kernel's order. LH_OK where the declared constraints hold, own_forward where one does
// not, which is counted, on_several_devices where the tensors lie apart.
std::int32_t check_constraints(const Binding& binding, detail::CallFrame& frame) noexcept;

// Runs what is no plain call where the binding is bound: `need` says how large the workspace has to be, then `run`
// finds it in the frame's call, on a device with the stream in use; the thread's current device is the binding's for
// both. A status, with its text in the frame.
std::int32_t run_where_bound(const Binding& binding, detail::CallFrame& frame,
                             const std::function<std::int32_t(std::size_t& workspace)>& need,
                             const std::function<std::int32_t()>& run);

// The call of a frame that holds the host's inputs, outputs and scalars, whole: counts, params, device. Outputs are in
// the kernel's order already.
lh_call whole_call(const Binding& binding, detail::CallFrame& frame);

// A constraint that does not hold: counted, with its number. Returns own_forward.
std::int32_t note_refused(const Binding& binding, std::uint32_t constraint) noexcept;

}  // namespace layerhub::dispatch
