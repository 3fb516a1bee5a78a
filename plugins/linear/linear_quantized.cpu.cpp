// SPDX-License-Identifier: Apache-2.0
// Linear with block-quantized weights, for every level without a file of its own: the flags decide which
// instructions it becomes.
#include "linear_quantized.inl.hpp"
