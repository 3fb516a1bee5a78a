// SPDX-License-Identifier: Apache-2.0
// The multiplication of bytes: the level decides which instruction it is.
#include "multiply_bytes.inl.hpp"
