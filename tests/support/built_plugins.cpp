// SPDX-License-Identifier: Apache-2.0
// The query is baseline code and may be called in any library; its kernels say what processor they need.
#include "support/built_plugins.hpp"

#include <layerhub/sdk/call.hpp>
#include <layerhub/sdk/tile_registers.hpp>

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace layerhub::testing {
namespace {

namespace fs = std::filesystem;

// With the system's permission, which a host with the core has from there.
bool has_tiles() {
  static const bool has =
      __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") && sdk::permit_tile_registers();
  return has;
}

std::string missing_feature(std::string_view feature) {
  const bool has = feature == "avx_vnni"      ? __builtin_cpu_supports("avxvnni")
                   : feature == "avx512_vnni" ? __builtin_cpu_supports("avx512vnni")
                   : feature == "avx512_bf16" ? __builtin_cpu_supports("avx512bf16")
                   : feature == "amx_bf16"    ? has_tiles()
                                              : false;
  return has ? "" : std::string(feature);
}

std::string missing_on(const TestDevice& device, const lh_kernel& kernel) {
  return device.info().capability < kernel.min_capability ? "capability of " + std::to_string(kernel.min_capability)
                                                          : "";
}

std::string missing_on_cpu(const lh_kernel& kernel) {
  if (kernel.min_capability >= 4 && !__builtin_cpu_supports("x86-64-v4")) {
    return "AVX-512";
  }
  if (kernel.min_capability == 3 && !__builtin_cpu_supports("x86-64-v3")) {
    return "AVX2";
  }
  std::string_view features = sdk::view(kernel.required_features);
  while (!features.empty()) {
    const std::size_t comma = std::min(features.find(','), features.size());
    const std::string missing = missing_feature(features.substr(0, comma));
    if (!missing.empty()) {
      return missing;
    }
    features.remove_prefix(std::min(comma + 1, features.size()));
  }
  return {};
}

std::vector<BuiltLibrary> open_all(const std::string& root) {
  std::vector<BuiltLibrary> libraries;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file() && entry.path().extension() == ".so") {
      libraries.push_back(open_built_library(entry.path().string()));
    }
  }
  return libraries;
}

}  // namespace

std::string kernel_name(const BuiltLibrary& library, const lh_kernel& kernel) {
  return library.name + ": " + std::string(sdk::view(kernel.layer)) + " (" +
         std::string(sdk::view(kernel.implementation)) + ")";
}

bool is_wanted(const std::string& kernel_name) {
  const char* filter = std::getenv("LAYERHUB_TEST_KERNELS");
  return filter == nullptr || kernel_name.find(filter) != std::string::npos;
}

BuiltLibrary open_built_library(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    throw std::runtime_error(dlerror());
  }
  const auto query = reinterpret_cast<lh_plugin_query_fn>(dlsym(handle, LH_PLUGIN_QUERY_SYMBOL));
  std::uint32_t minor = LH_ABI_MINOR;
  const lh_plugin* plugin = nullptr;
  lh_error error{sizeof error, 0, nullptr, 0, 0};
  if (query == nullptr || query(0, &minor, &plugin, &error) != LH_OK) {
    throw std::runtime_error(path + ": has no plugin of ABI " + std::to_string(LH_ABI_MAJOR));
  }
  BuiltLibrary library;
  library.name = std::string(sdk::view(plugin->repo)) + "@" + std::string(sdk::view(plugin->revision)) + " " +
                 fs::path(path).stem().string();
  library.kernels.assign(plugin->kernels, plugin->kernels + plugin->n_kernels);
  library.runtime = plugin->get_extension == nullptr
                        ? nullptr
                        : static_cast<const lh_device_1*>(plugin->get_extension(LH_DEVICE_1_ID));
  std::sort(library.kernels.begin(), library.kernels.end(), [](const lh_kernel* a, const lh_kernel* b) {
    return std::pair(sdk::view(a->layer), sdk::view(a->implementation)) <
           std::pair(sdk::view(b->layer), sdk::view(b->implementation));
  });
  return library;
}

std::vector<BuiltLibrary> open_built_plugins(const std::string& root) {
  std::vector<BuiltLibrary> libraries = open_all(root);
  std::erase_if(libraries, [](const BuiltLibrary& library) { return library.runtime != nullptr; });
  for (BuiltLibrary& library : libraries) {
    for (const lh_kernel* kernel : library.kernels) {
      std::string why;
      library.device = TestDevice::find(root, kernel->device_type, why);
      if (library.missing.empty()) {
        library.missing = kernel->device_type == kDLCPU ? missing_on_cpu(*kernel)
                          : library.device == nullptr   ? why
                                                        : missing_on(*library.device, *kernel);
      }
    }
  }
  std::sort(libraries.begin(), libraries.end(),
            [](const BuiltLibrary& a, const BuiltLibrary& b) { return a.name < b.name; });
  return libraries;
}

std::vector<BuiltLibrary> open_built_plugins(const std::string& root, DLDeviceType device_type) {
  std::vector<BuiltLibrary> libraries = open_built_plugins(root);
  std::erase_if(libraries, [&](const BuiltLibrary& library) {
    return library.kernels.empty() || library.kernels.front()->device_type != device_type;
  });
  return libraries;
}

std::vector<const lh_device_1*> open_built_runtimes(const std::string& root) {
  std::vector<const lh_device_1*> runtimes;
  for (const BuiltLibrary& library : open_all(root)) {
    if (library.runtime != nullptr) {
      runtimes.push_back(library.runtime);
    }
  }
  return runtimes;
}

}  // namespace layerhub::testing
