// SPDX-License-Identifier: Apache-2.0
// Modes and policies, each in one table: what they are called, what a kernel must have for them, where a request looks.
// To add one is to add its enumerator in layerhub/mapping.hpp and its row here.
#pragma once

#include "hub/kernel_info.hpp"

#include <layerhub/mapping.hpp>

#include <string>
#include <vector>

namespace layerhub::dispatch {

// The modes under which a repository may be registered to serve a request, best first.
std::vector<Mode> search_order(Mode request);

// What is wrong with a mode as a request ("" nothing), and as what a repository is registered for.
std::string request_fault(Mode mode);
std::string registration_fault(Mode mode);

// Whether the kernel can do what a mode asks for.
bool supports(const hub::KernelInfo& kernel, Mode mode);

// What kind of refusal a layer met: the columns of Fallback's table, and a device on which nothing can be computed.
enum class Refusal : std::uint8_t { missing, unsupported, failed, no_device };

// Whether the policy lets the layer run its own forward.
bool falls_back(Fallback policy, Refusal refusal);

}  // namespace layerhub::dispatch
