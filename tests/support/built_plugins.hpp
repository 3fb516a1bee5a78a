// SPDX-License-Identifier: Apache-2.0
// The plugin libraries under a plugin directory, opened directly: tests of kernels must not depend on the loader.
#pragma once

#include "support/test_device.hpp"

#include <layerhub/abi.h>
#include <layerhub/abi/device.h>

#include <string>
#include <vector>

namespace layerhub::testing {

struct BuiltLibrary {
  std::string name;                    // "layerhub/activation@v1 activation-v4"
  std::string missing;                 // "" or what this processor or its device lacks for it: "AVX-512"
  const TestDevice* device = nullptr;  // that its kernels run on; nullptr: the cpu, or none is there
  std::vector<const lh_kernel*> kernels;
  const lh_device_1* runtime = nullptr;  // of a device plugin
};

// It stays open. Throws std::runtime_error where it can't be opened: a defect of the build.
BuiltLibrary open_built_library(const std::string& path);

// Those that have kernels, sorted by name, with what is missing here for them.
std::vector<BuiltLibrary> open_built_plugins(const std::string& root);
// The same of a device type alone.
std::vector<BuiltLibrary> open_built_plugins(const std::string& root, DLDeviceType device_type);

// The device runtimes under it.
std::vector<const lh_device_1*> open_built_runtimes(const std::string& root);

// "layerhub/norm@v1 norm-v4: RMSNorm (vector)", and whether LAYERHUB_TEST_KERNELS, where it is set, is part of that.
std::string kernel_name(const BuiltLibrary& library, const lh_kernel& kernel);
bool is_wanted(const std::string& kernel_name);

}  // namespace layerhub::testing
