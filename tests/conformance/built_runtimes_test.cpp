// SPDX-License-Identifier: Apache-2.0
// The device runtimes of this project, in a host that was linked with none of them, on whatever this machine has: a
// card, a driver without a card, or neither.
#include "support/catch.hpp"
#include "support/test_environment.hpp"

#include <filesystem>
#include <optional>

namespace {

using layerhub::DeviceList;

const std::vector<std::pair<std::string, DLDeviceType>> types{
    {"cuda", kDLCUDA}, {"rocm", kDLROCM}, {"opencl", kDLOpenCL}};

bool is_built(const std::string& type) {
  return std::filesystem::is_directory(std::string(LAYERHUB_PLUGIN_ROOT) + "/layerhub/device-" + type);
}

}  // namespace

TEST_CASE("a runtime that was built has devices, or one line that says why there are none") {
  layerhub::set_plugin_roots({LAYERHUB_PLUGIN_ROOT});
  for (const auto& [name, type] : types) {
    INFO(name);
    const DeviceList list = layerhub::list_devices(type);
    INFO(list.reason);
    CHECK(list.devices.empty() == !list.reason.empty());
    CHECK(list.reason.find('\n') == std::string::npos);
    CHECK((list.reason.find("no runtime for") != std::string::npos) == !is_built(name));
  }
}

TEST_CASE("a device that a runtime does not have is an error with its reason, and the host goes on") {
  layerhub::set_plugin_roots({LAYERHUB_PLUGIN_ROOT});
  for (const auto& [name, type] : types) {
    INFO(name);
    const DeviceList list = layerhub::list_devices(type);
    const layerhub::Device missing{type, static_cast<std::int32_t>(list.devices.size())};
    try {
      layerhub::Buffer(missing, 64);
      FAIL("there is memory on a device that is not there");
    } catch (const layerhub::Error& error) {
      CHECK(std::string(error.what()).starts_with("device " + layerhub::to_string(missing) + ": "));
      CHECK(std::string(error.what()).find(list.reason) != std::string::npos);
    }
    const layerhub::Buffer host(layerhub::Device::cpu(), 64);
    CHECK(host.data() != nullptr);
  }
}

TEST_CASE("devices that a runtime has are described: a name, memory and a capability") {
  layerhub::set_plugin_roots({LAYERHUB_PLUGIN_ROOT});
  for (const auto& [name, type] : types) {
    for (const layerhub::DeviceInfo& device : layerhub::list_devices(type).devices) {
      INFO(layerhub::to_string(device.device));
      CHECK(device.capability >= 12);
      CHECK_FALSE(device.name.empty());
    }
  }
}

// A host may keep a whole model in one buffer: offsets are counted in 64 bits.
TEST_CASE("a weight inside a buffer is read where it begins, behind 2^31 elements too") {
  using namespace layerhub;
  struct Linear : use_kernel_forward_from_hub<Linear, "Linear"> {
    DLTensor weight{};
    auto hub_members() const { return members(param("weight", weight, "gguf.q8_0")); }
    void forward(const DLTensor&, DLTensor&) const { FAIL("no kernel serves it"); }
  };
  set_plugin_roots({LAYERHUB_PLUGIN_ROOT});
  const std::size_t offset = GENERATE(std::size_t{4096}, (std::size_t{1} << 31) + 4096);
  for (const auto& [name, type] : types) {
    if (list_devices(type).devices.empty()) {
      continue;
    }
    INFO(name);
    const Device device{type, 0};
    std::vector<std::uint8_t> blocks(64 * 34, 0x2c);  // every scale is 0x2c2c, every number 44
    std::vector<float> ones(32, 1), results(64);
    std::optional<Buffer> model;
    try {
      model.emplace(device, offset + blocks.size());
    } catch (const Error& error) {
      REQUIRE(error.code() == ErrorCode::out_of_memory);
      REQUIRE(offset > std::size_t{1} << 30);
      WARN(error.what());
      continue;
    }
    const Buffer input(device, ones.size() * sizeof(float)), output(device, results.size() * sizeof(float));
    std::int64_t weight_shape[] = {64, 34}, x_shape[] = {1, 32}, y_shape[] = {1, 64};
    const auto on_host = [](void* data, DLTensor like) {
      like.data = data;
      like.byte_offset = 0;
      like.device = {kDLCPU, 0};
      return like;
    };
    Linear linear;
    linear.weight = {model->data(), model->dl_device(), 2, {kDLUInt, 8, 1}, weight_shape, nullptr, offset};
    const DLTensor x{input.data(), input.dl_device(), 2, {kDLFloat, 32, 1}, x_shape, nullptr, 0};
    DLTensor y{output.data(), output.dl_device(), 2, {kDLFloat, 32, 1}, y_shape, nullptr, 0};
    copy(on_host(blocks.data(), linear.weight), linear.weight);
    copy(on_host(ones.data(), x), x);
    const use_kernel_mapping scope(
        {{"Linear",
          {{name, LayerRepository{.repo_id = "layerhub/linear", .layer_name = "Linear", .revision = "v1"}}}}});
    linear(x, y);
    copy(y, on_host(results.data(), y));
    Stream::default_of(device).synchronize();
    CHECK(results[0] == Approx(32 * 44 * 0.065185546875));
    CHECK(results == std::vector<float>(64, results[0]));
  }
}
