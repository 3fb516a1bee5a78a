// SPDX-License-Identifier: Apache-2.0
// A layer on a device, by a host that has no runtime of its own for it: another-device DEVICE [PLUGIN DIRECTORY].
// Memory, copies and the wait for what was enqueued are the host's, and each is a line below.
#include <layerhub/layerhub.hpp>

#include <cmath>
#include <cstdio>
#include <stdexcept>

// A dense float32 tensor in memory of any device.
struct Tensor {
  layerhub::Buffer memory;
  std::int64_t shape[2];

  Tensor(layerhub::Device device, std::int64_t rows, std::int64_t columns)
      : memory(device, static_cast<std::size_t>(rows * columns) * sizeof(float)), shape{rows, columns} {}
  float* values() const { return static_cast<float*>(memory.data()); }  // of the cpu's: elsewhere it is no address
};

DLTensor as_dltensor(const Tensor& t) {
  return {t.memory.data(), t.memory.dl_device(), 2, {kDLFloat, 32, 1}, const_cast<std::int64_t*>(t.shape), nullptr, 0};
}

struct SiluAndMul : layerhub::use_kernel_forward_from_hub<SiluAndMul, "SiluAndMul"> {
  void forward(const Tensor& x, Tensor& y) const {  // x is [rows, 2 d], y is [rows, d]
    if (x.memory.device() != layerhub::Device::cpu()) {
      throw std::runtime_error("SiluAndMul: this forward is for the cpu alone");  // where no kernel serves the device
    }
    for (std::int64_t r = 0; r < y.shape[0]; ++r) {
      for (std::int64_t i = 0; i < y.shape[1]; ++i) {
        const float gate = x.values()[r * x.shape[1] + i], up = x.values()[r * x.shape[1] + y.shape[1] + i];
        y.values()[r * y.shape[1] + i] = gate / (1 + std::exp(-gate)) * up;
      }
    }
  }
};

int main(int argc, char** argv) {
  try {
    if (argc > 2) {
      layerhub::set_plugin_roots({argv[2]});
    }
    const layerhub::Device device = layerhub::parse_device(argc > 1 ? argv[1] : "opencl");
    std::printf("%s: %s\n", to_string(device).c_str(), layerhub::device_info(device).name.c_str());

    const layerhub::Device cpu = layerhub::Device::cpu();
    Tensor x(cpu, 1, 4), y(cpu, 1, 2), there(cpu, 1, 2), device_x(device, 1, 4), device_y(device, 1, 2);
    for (int i = 0; i < 4; ++i) {
      x.values()[i] = static_cast<float>(i + 1);
    }
    SiluAndMul silu_and_mul;
    silu_and_mul(x, y);
    std::printf("own forward:     %.4f %.4f\n", y.values()[0], y.values()[1]);

    const layerhub::use_kernel_mapping scope(layerhub::automatic_mapping());  // of what the plugin directory has
    layerhub::copy(as_dltensor(x), as_dltensor(device_x));
    silu_and_mul(device_x, device_y);  // only enqueued
    layerhub::copy(as_dltensor(device_y), as_dltensor(there));
    if (device != cpu) {  // which has no streams, and is done when a call returns
      layerhub::Stream::default_of(device).synchronize();
    }
    std::printf("from the plugin: %.4f %.4f\n\n%s", there.values()[0], there.values()[1],
                layerhub::explain(silu_and_mul).c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
