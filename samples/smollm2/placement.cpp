// SPDX-License-Identifier: Apache-2.0
#include "placement.hpp"

#include <algorithm>
#include <stdexcept>

namespace smollm2 {

Placement parse_placement(const std::vector<std::string>& texts) {
  Placement placement;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    const std::string name = equals == std::string::npos ? text : text.substr(equals + 1);
    if (name.empty()) {
      throw std::invalid_argument("--device " + text + ": it names no device; give cpu, opencl, cuda or rocm");
    }
    const layerhub::Device device = layerhub::parse_device(name);
    if (equals == std::string::npos) {
      placement.devices.fill(device);
      continue;
    }
    const auto part = std::find(part_names.begin(), part_names.end(), text.substr(0, equals));
    if (part == part_names.end()) {
      throw std::invalid_argument("--device " + text +
                                  ": there is no such part of the model; name attention, mlp or "
                                  "head, or a device alone for all of it");
    }
    placement.devices[static_cast<std::size_t>(part - part_names.begin())] = device;
  }
  return placement;
}

void need_devices(const Placement& placement) {
  for (const layerhub::Device device : placement.devices) {
    static_cast<void>(layerhub::device_info(device));
  }
}

Owned::Owned(layerhub::Device device, std::int64_t rows, std::int64_t columns, Dtype dtype)
    : memory(device, static_cast<std::size_t>(rows * columns * bytes_of(dtype))),
      view(matrix(memory.data(), rows, columns, dtype)) {
  view.device = memory.dl_device();
}

void copy_counted(const Tensor& from, const Tensor& to, Copies& copies) {
  if (from.data == to.data) {
    return;
  }
  layerhub::copy(as_dltensor(from), as_dltensor(to));
  for (const DLDevice device : {from.device, to.device}) {
    if (device.device_type != kDLCPU) {
      layerhub::Stream::default_of(layerhub::Device::of(device)).synchronize();
    }
  }
  ++copies.count;
  copies.bytes += static_cast<std::uint64_t>(from.element_count() * bytes_of(from.dtype));
}

Owned placed(const Tensor& weight, layerhub::Device device, Copies& copies) {
  Owned owned(device, weight.rank == 1 ? 1 : weight.shape[0], weight.width(), weight.dtype);
  Tensor view = weight;
  view.data = owned.memory.data();
  view.device = owned.memory.dl_device();
  owned.view = view;
  copy_counted(weight, view, copies);
  return owned;
}

}  // namespace smollm2
