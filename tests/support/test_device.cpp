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

const TestDevice* TestDevice::open(const std::string& root, std::int32_t device_type, std::string& why) {
  why = "no device plugin for this type is built";
  for (const lh_device_1* runtime : open_built_runtimes(root)) {
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

const TestDevice* TestDevice::find(const std::string& root, std::int32_t device_type, std::string& why) {
  static std::mutex mutex;
  static std::map<std::pair<std::string, std::int32_t>, std::pair<const TestDevice*, std::string>> known;
  if (device_type == kDLCPU) {
    return nullptr;
  }
  std::lock_guard lock(mutex);
  const auto [place, is_new] = known.try_emplace({root, device_type});
  auto& [device, reason] = place->second;
  if (is_new) {
    device = open(root, device_type, reason);
  }
  why = reason;
  return device;
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

std::shared_ptr<void> TestDevice::capture(const std::function<void()>& run, std::string& why) const {
  ErrorText text;
  check(runtime_.capture_begin(0, stream_, &text.error), text);
  run();
  void* graph = nullptr;
  if (runtime_.capture_end(0, stream_, &graph, &text.error) != LH_OK) {
    why = std::string(text.text, text.error.length);
    return nullptr;
  }
  return {graph, [this](void* released) { runtime_.graph_destroy(0, released); }};
}

void TestDevice::replay(const std::shared_ptr<void>& graph) const {
  ErrorText text;
  check(runtime_.graph_launch(0, graph.get(), stream_, &text.error), text);
}

void TestDevice::download(std::byte* to, void* memory, std::size_t bytes) const {
  ErrorText text;
  check(runtime_.copy({kDLCPU, 0}, to, 0, device(), memory, 0, bytes, stream_, &text.error), text);
  check(runtime_.stream_synchronize(0, stream_, &text.error), text);
}

}  // namespace layerhub::testing
