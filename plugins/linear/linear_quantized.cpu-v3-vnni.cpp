// SPDX-License-Identifier: Apache-2.0
// Linear with block-quantized weights, for AVX2 with VNNI in 256 bits: the flags decide which instructions it becomes.
#include "linear_quantized.inl.hpp"
