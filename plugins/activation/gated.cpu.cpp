// SPDX-License-Identifier: Apache-2.0
// Gated activations, for every level without a file of its own: the flags decide which instructions it becomes.
#include "gated.inl.hpp"
