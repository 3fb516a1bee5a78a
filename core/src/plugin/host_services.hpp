// SPDX-License-Identifier: Apache-2.0
// The lh_host that every plugin gets: the log and "lh.parallel/1". One for the process, never destroyed: a plugin may
// hold it as long as its library is open, and libraries may stay open until the very end.
#pragma once

#include <layerhub/abi.h>

namespace layerhub::plugin {

const lh_host& host_services() noexcept;

}  // namespace layerhub::plugin
