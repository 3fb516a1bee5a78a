// SPDX-License-Identifier: Apache-2.0
// Whether this unit's processor multiplies bytes and sums the products in 32 bits at once (VNNI).
#pragma once

namespace layerhub::linear {

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
#define LAYERHUB_HAS_VNNI 1
inline constexpr bool has_vnni = true;
#else
inline constexpr bool has_vnni = false;
#endif

}  // namespace layerhub::linear
