// SPDX-License-Identifier: Apache-2.0
// How many rows of a packed weight are interleaved, and so how many outputs a product makes at a time.
#pragma once

#include <cstdint>

namespace layerhub::linear {

inline constexpr std::int64_t tile_rows = 32;

}  // namespace layerhub::linear
