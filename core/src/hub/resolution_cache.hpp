// SPDX-License-Identifier: Apache-2.0
// Resolutions that are made again and again: a model's layers come from a handful of repositories, and each resolution
// reads directories and parses metadata. One that was made before is returned while every file and folder that it
// looked at is the same, or still not there, by stat; so what is dropped in, replaced or removed is seen at once. The
// next process finds it as well (base/saved_answers.hpp), and parses nothing.
#pragma once

#include "hub/resolver.hpp"

#include <memory>

namespace layerhub::hub {

// What Resolver::resolve returns, shared. Refusals are not remembered. [thread-safe]
Result<std::shared_ptr<const Resolved>> resolve_cached(const Resolver& resolver, const RepositoryRef& ref,
                                                       std::string_view device_type,
                                                       const DeviceFacts* device = nullptr);

}  // namespace layerhub::hub
