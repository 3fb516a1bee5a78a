// SPDX-License-Identifier: Apache-2.0
#include "device.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace layerhub::gpu_emulator {
namespace {

constexpr std::size_t memory_bytes = std::size_t{1} << 27;
constexpr int l2_bytes = 1 << 16;
constexpr int multiprocessors = 2;  // few, so that small tensors bring kernels whose grid fills the device to loop

std::vector<std::string> list_from(const char* variable, const char* fallback) {
  const char* text = std::getenv(variable);
  std::string_view rest = text == nullptr ? fallback : text;
  std::vector<std::string> items;
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    items.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return items;
}

Properties cuda_device(const std::string& capability) {
  int number = 80;
  std::from_chars(capability.data(), capability.data() + capability.size(), number);
  return {.name = "emulated CUDA device " + capability,
          .arch = "sm_" + capability,
          .major = number / 10,
          .minor = number % 10,
          .multiprocessors = multiprocessors,
          .warp = 32,
          .l2_bytes = l2_bytes,
          .memory = memory_bytes,
          .shared_bytes = 48 * 1024};
}

// The libraries for HIP are compiled for wavefronts of 64, which is then the warp of every device, whatever its name.
Properties rocm_device(const std::string& arch) {
  const bool is_gfx9 = arch.starts_with("gfx9");
  return {.name = "emulated ROCm device " + arch,
          .arch = arch,
          .major = is_gfx9 ? 9 : 10,
          .minor = is_gfx9 ? 0 : 3,
          .multiprocessors = multiprocessors,
          .warp = 64,
          .l2_bytes = l2_bytes,
          .memory = memory_bytes,
          .shared_bytes = 64 * 1024};
}

System make_system(Vendor vendor) {
  System system;
  const bool is_cuda = vendor == Vendor::cuda;
  const std::vector<std::string> items =
      is_cuda ? list_from("LAYERHUB_EMULATED_CUDA", "80,90") : list_from("LAYERHUB_EMULATED_ROCM", "gfx90a,gfx906");
  for (const std::string& item : items) {
    system.devices.push_back(std::make_unique<Device>(vendor, static_cast<int>(system.devices.size()),
                                                      is_cuda ? cuda_device(item) : rocm_device(item)));
  }
  return system;
}

struct CodeText {
  int code;
  const char *cuda, *hip, *text;
};
constexpr CodeText codes[] = {
    {success, "cudaSuccess", "hipSuccess", "no error"},
    {invalid_value, "cudaErrorInvalidValue", "hipErrorInvalidValue", "invalid argument"},
    {out_of_memory, "cudaErrorMemoryAllocation", "hipErrorOutOfMemory", "out of memory"},
    {invalid_configuration, "cudaErrorInvalidConfiguration", "hipErrorInvalidConfiguration",
     "a grid or a block of a size that the device does not take"},
    {no_device, "cudaErrorNoDevice", "hipErrorNoDevice", "no emulated device"},
    {invalid_device, "cudaErrorInvalidDevice", "hipErrorInvalidDevice", "invalid device ordinal"},
    {invalid_handle, "cudaErrorInvalidResourceHandle", "hipErrorInvalidHandle",
     "a stream or an event that is not the device's"},
    {not_ready, "cudaErrorNotReady", "hipErrorNotReady", "not ready"},
    {launch_failed, "cudaErrorLaunchFailure", "hipErrorLaunchFailure", "a kernel failed"},
    {not_in_capture, "cudaErrorStreamCaptureUnsupported", "hipErrorStreamCaptureUnsupported",
     "what was called has no place in a capture"},
    {capture_broken, "cudaErrorStreamCaptureInvalidated", "hipErrorStreamCaptureInvalidated",
     "an earlier call broke the capture"},
    {capture_implicit, "cudaErrorStreamCaptureImplicit", "hipErrorStreamCaptureImplicit",
     "the default stream was used during a capture"},
};

const CodeText* find_code(int code) {
  const auto found =
      std::find_if(std::begin(codes), std::end(codes), [&](const CodeText& c) { return c.code == code; });
  return found == std::end(codes) ? nullptr : &*found;
}

}  // namespace

System& system_of(Vendor vendor) {  // never destroyed: plugins call until the very end
  static System& cuda = *new System(make_system(Vendor::cuda));
  static System& rocm = *new System(make_system(Vendor::rocm));
  return vendor == Vendor::cuda ? cuda : rocm;
}

ThreadState& thread_state(Vendor vendor) {
  thread_local std::array<ThreadState, 2> states;
  return states[static_cast<std::size_t>(vendor)];
}

std::recursive_mutex& runtime_mutex() {
  static std::recursive_mutex& mutex = *new std::recursive_mutex;
  return mutex;
}

const char* name_of(Vendor vendor, int code) {
  const CodeText* found = find_code(code);
  return found == nullptr ? "an unknown code" : vendor == Vendor::cuda ? found->cuda : found->hip;
}

const char* text_of(Vendor vendor, int code) {
  std::lock_guard lock(runtime_mutex());
  for (const auto& device : system_of(vendor).devices) {
    if (device->fault == code) {
      return device->fault_text.c_str();
    }
  }
  const CodeText* found = find_code(code);
  return found == nullptr ? "an unknown code" : found->text;
}

int take_last_error(Vendor vendor) { return std::exchange(thread_state(vendor).last_error, success); }

Code device_count(Vendor vendor, int* count) {
  return guarded(vendor, [&] {
    *count = static_cast<int>(system_of(vendor).devices.size());
    return *count == 0 ? no_device : success;
  });
}

Code properties(Vendor vendor, int ordinal, Properties* out) {
  return guarded(vendor, [&] {
    const System& system = system_of(vendor);
    if (ordinal < 0 || ordinal >= static_cast<int>(system.devices.size())) {
      return invalid_device;
    }
    *out = system.devices[ordinal]->properties;
    return success;
  });
}

Code set_device(Vendor vendor, int ordinal) {
  return guarded(vendor, [&] {
    if (ordinal < 0 || ordinal >= static_cast<int>(system_of(vendor).devices.size())) {
      return invalid_device;
    }
    thread_state(vendor).current = ordinal;
    return success;
  });
}

Code get_device(Vendor vendor, int* ordinal) {
  return guarded(vendor, [&] {
    *ordinal = thread_state(vendor).current;
    return system_of(vendor).devices.empty() ? no_device : success;
  });
}

}  // namespace layerhub::gpu_emulator
