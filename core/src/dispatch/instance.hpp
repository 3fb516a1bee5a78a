// SPDX-License-Identifier: Apache-2.0
// A kernel's instance: made from a layer's weights and attributes, and told when they changed in place.
#pragma once

#include "dispatch/binding.hpp"

namespace layerhub::dispatch {

// nullptr: the layer lends no such member.
const Member* find_member(const std::vector<Member>& members, std::string_view name, bool is_param);

// Sets the binding's instance; its params are in place. Refused: unsupported (LH_DECLINED), kernel_failed with the
// plugin's text.
Result<void> create_instance(const detail::LayerType& layer, const DeviceInfo& device, Binding& binding);

// Lets the instance read its params again. false: it has no way to. No call of it is in flight.
Result<bool> update_instance(const detail::LayerType& layer, const DeviceInfo& device, const Binding& binding);

}  // namespace layerhub::dispatch
