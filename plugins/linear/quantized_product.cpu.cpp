// SPDX-License-Identifier: Apache-2.0
// Products of block-quantized weights for every level without a file of its own: the flags decide which instructions
// they become.
#include "quantized_product.inl.hpp"
