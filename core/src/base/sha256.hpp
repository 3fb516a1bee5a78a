// SPDX-License-Identifier: Apache-2.0
// SHA-256 of bytes, as locks and metadata write it.
#pragma once

#include <string>
#include <string_view>

namespace layerhub {

// "sha256-" and the base64 of the digest, as in Subresource Integrity (W3C). [thread-safe]
std::string sha256_of(std::string_view bytes);

}  // namespace layerhub
