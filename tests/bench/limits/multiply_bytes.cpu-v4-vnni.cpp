// SPDX-License-Identifier: Apache-2.0
// The multiplication of bytes: with AVX-512 VNNI.
#include "multiply_bytes.inl.hpp"
