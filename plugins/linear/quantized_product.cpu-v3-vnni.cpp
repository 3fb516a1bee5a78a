// SPDX-License-Identifier: Apache-2.0
// Products of block-quantized weights for AVX2 with VNNI in 256 bits: the flags decide which instructions they become.
#include "quantized_product.inl.hpp"
