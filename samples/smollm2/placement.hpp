// SPDX-License-Identifier: Apache-2.0
// Which part of the model runs on which device, and the copies between them, which are the host's to make and are
// counted. The residual stream begins on the cpu and goes where the next part is.
#pragma once

#include "tensor.hpp"

#include <layerhub/buffer.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace smollm2 {

enum class Part : std::uint8_t { attention, mlp, head };
inline constexpr std::array part_names{"attention", "mlp", "head"};

struct Placement {
  std::array<layerhub::Device, part_names.size()> devices{};  // the cpu

  layerhub::Device of(Part part) const { return devices[static_cast<std::size_t>(part)]; }
  bool is_cpu() const { return devices == decltype(devices){}; }
};

// "opencl" places all, "mlp=opencl" one part; later ones win. Throws std::invalid_argument, layerhub::Error.
Placement parse_placement(const std::vector<std::string>& texts);

// Throws for a device that is not there: before a model is read for it.
void need_devices(const Placement& placement);

// A matrix or cache with memory of its own on a device.
struct Owned {
  Owned() = default;
  Owned(layerhub::Device device, std::int64_t rows, std::int64_t columns, Dtype dtype = Dtype::f32);
  layerhub::Buffer memory;
  Tensor view;
};

struct Copies {
  std::uint64_t count = 0, bytes = 0;
};

// Copies and waits until `to` holds it. Tensors that are one and the same are left alone.
void copy_counted(const Tensor& from, const Tensor& to, Copies& copies);

// A copy of a weight on a device.
Owned placed(const Tensor& weight, layerhub::Device device, Copies& copies);

}  // namespace smollm2
