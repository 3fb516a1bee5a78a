// SPDX-License-Identifier: Apache-2.0
// The processor that this process runs on: its x86-64 level and the features beyond it that plugins have libraries for.
//
// Asked of the processor and of the system: a level counts only where the system saves the registers that it uses. The
// levels are those of the x86-64 psABI. LAYERHUB_CPU_CAPABILITY=1..4 lowers the level, for tests, comparisons and
// instruction counts: 3 is AVX2 alone, 3+avx_vnni keeps that feature where the processor has it.
//
// "amx_bf16" also stands for the system's permission to use tile registers, which a process has to ask for once: it is
// asked for with the facts, unless LAYERHUB_CPU_CAPABILITY leaves that feature out.
#pragma once

#include "hub/system_facts.hpp"

#include <string>
#include <string_view>

namespace layerhub::device {

// Asked once and kept. [thread-safe]
const hub::SystemFacts& system_facts();

// The facts of a processor with less, as LAYERHUB_CPU_CAPABILITY words it: "3", "3+avx_vnni". What is neither a level
// nor a level with features is ignored, with a warning.
hub::SystemFacts lowered(hub::SystemFacts facts, std::string_view wanted);

// What the processor calls itself, for people; asked when somebody wants to know. [thread-safe]
const std::string& processor_name();

}  // namespace layerhub::device
