// SPDX-License-Identifier: Apache-2.0
// Linear with block-quantized weights, for AVX-512 with VNNI: the flags decide which instructions it becomes.
#include "linear_quantized.inl.hpp"
