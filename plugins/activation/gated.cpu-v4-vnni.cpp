// SPDX-License-Identifier: Apache-2.0
// Gated activations, for AVX-512 with bfloat16: its results are rounded in hardware.
#include "gated.inl.hpp"
