// SPDX-License-Identifier: Apache-2.0
#include "support/test_device.hpp"

#include "support/built_plugins.hpp"
#include "support/kernel_instance.hpp"

#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace layerhub::testing {
namespace {

void check(std::int32_t status, const ErrorText& text) {
  if (status != LH_OK) {
    throw std::runtime_error("the device runtime returned " + std::to_string(status) + ": " +
                             std::string(text.text, text.error.length));
  }
}

}  // namespace

TestDevice::TestDevice(const lh_device_1& runtime) : runtime_(runtime) {
  ErrorText text;
  check(runtime_.stream_create(0, &stream_, &text.error), text);
}

TestDevice* TestDevice::open(std::int32_t device_type, std::string& why) {
  why = "no device plugin for this type is built";
  for (const lh_device_1* runtime : open_built_runtimes(LAYERHUB_PLUGIN_ROOT)) {
    if (runtime->device_type != device_type) {
      continue;
    }
    ErrorText text;
    std::uint32_t count = 0;
    check(runtime->count(&count, &text.error), text);
    if (count != 0) {
      return new TestDevice(*runtime);
    }
    why = std::string(text.text, text.error.length);
  }
  return nullptr;
}

TestDevice* TestDevice::find(std::int32_t device_type, std::string* why) {
  static std::mutex mutex;
  static std::map<std::int32_t, std::pair<TestDevice*, std::string>> known;
  if (device_type == kDLCPU) {
    return nullptr;
  }
  std::lock_guard lock(mutex);
  if (!known.contains(device_type)) {
    auto& [device, reason] = known[device_type];
    device = open(device_type, reason);
  }
  if (why != nullptr) {
    *why = known[device_type].second;
  }
  return known[device_type].first;
}

lh_device_info TestDevice::info() const {
  lh_device_info info{};
  info.struct_size = sizeof info;
  ErrorText text;
  check(runtime_.info(0, &info, &text.error), text);
  return info;
}

void* TestDevice::allocate(std::size_t bytes) const {
  void* memory = nullptr;
  ErrorText text;
  check(runtime_.allocate(0, bytes, nullptr, &memory, &text.error), text);
  return memory;
}

void TestDevice::release(void* memory) const { runtime_.release(0, memory, stream_); }

void TestDevice::upload(void* memory, const std::byte* from, std::size_t bytes) const {
  ErrorText text;
  check(runtime_.copy(device(), memory, 0, {kDLCPU, 0}, from, 0, bytes, stream_, &text.error), text);
  check(runtime_.stream_synchronize(0, stream_, &text.error), text);
}

void TestDevice::download(std::byte* to, void* memory, std::size_t bytes) const {
  ErrorText text;
  check(runtime_.copy({kDLCPU, 0}, to, 0, device(), memory, 0, bytes, stream_, &text.error), text);
  check(runtime_.stream_synchronize(0, stream_, &text.error), text);
}

}  // namespace layerhub::testing
