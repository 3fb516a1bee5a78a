// SPDX-License-Identifier: Apache-2.0
// What this system is, as a plain value: hub chooses among variants and libraries by it and never asks a device itself.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace layerhub::hub {

// A runtime's version as variants name it: cu128 is 12.8, rocm63 is 6.3.
struct BackendVersion {
  std::uint32_t major = 0, minor = 0;
  bool operator==(const BackendVersion&) const = default;
};

// Of the one device that a build is wanted for, where its archs matter.
struct DeviceFacts {
  std::uint32_t capability = 0;  // CUDA: major * 10 + minor
  std::string arch;              // ROCm: "gfx90a:sramecc+"
};

struct SystemFacts {
  std::string cpu_arch = "x86_64";
  std::string os = "linux";
  std::uint32_t cpu_capability = 1;                  // the x86-64 level, 1 to 4
  std::vector<std::string> cpu_features;             // "amx_bf16", ... sorted; those that libraries may ask for
  std::uint32_t lowered_capability = 0;              // the processor's own, where LAYERHUB_CPU_CAPABILITY lowers it
  std::vector<std::string> lowered_features;         // those that it leaves out
  std::optional<BackendVersion> cuda, rocm, opencl;  // of the installed runtimes
  bool runtimes_unasked = false;                     // a listing: builds for devices fit whatever runtime is there
  std::array<std::optional<BackendVersion>, 3> runtimes() const { return {cuda, rocm, opencl}; }
};

}  // namespace layerhub::hub
