// SPDX-License-Identifier: Apache-2.0
// RMSNorm, for every level without a file of its own: the flags decide which instructions it becomes.
#include "rms_norm.inl.hpp"
