// SPDX-License-Identifier: Apache-2.0
// Products of block-quantized weights for AVX-512 with AMX: the flags decide which instructions they become.
#include "quantized_product.inl.hpp"
