// SPDX-License-Identifier: Apache-2.0
// RMSNorm, for AVX-512 with bfloat16: its squares are summed in pairs and its results rounded in hardware.
#include "rms_norm.inl.hpp"
