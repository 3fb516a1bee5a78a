// SPDX-License-Identifier: Apache-2.0
// The processor that this process runs on: its x86-64 level and the features beyond it that plugins have libraries for.
//
// Asked of the processor and of the system: a level counts only where the system saves the registers that it uses. The
// levels are those of the x86-64 psABI. LAYERHUB_CPU_CAPABILITY=1..4 lowers the level, for tests, comparisons and
// instruction counts: 3 is AVX2 alone, 3+avx_vnni keeps that feature where the processor has it.
#pragma once

#include "hub/system_facts.hpp"

namespace layerhub::device {

// Asked once and kept. [thread-safe]
const hub::SystemFacts& system_facts();

}  // namespace layerhub::device
