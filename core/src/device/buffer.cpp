// SPDX-License-Identifier: Apache-2.0
#include <layerhub/buffer.hpp>

#include "device/device_table.hpp"
#include "device/streams.hpp"

#include <layerhub/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace layerhub {
namespace device {
namespace {

constexpr std::size_t host_alignment = 64;

std::size_t bytes_of(const DLTensor& x) {
  std::size_t bytes = (std::size_t{x.dtype.bits} * x.dtype.lanes + 7) / 8;
  for (std::int32_t d = 0; d < x.ndim; ++d) {
    bytes *= static_cast<std::size_t>(x.shape[d]);
  }
  return bytes;
}

bool is_dense(const DLTensor& x) {
  std::int64_t stride = 1;
  for (std::int32_t d = x.ndim; x.strides != nullptr && d-- > 0; stride *= x.shape[d]) {
    if (x.shape[d] != 1 && x.strides[d] != stride) {
      return false;
    }
  }
  return true;
}

// Why the one can't be copied into the other; empty: it can.
std::string misfit(const DLTensor& from, const DLTensor& to) {
  if (from.dtype.code != to.dtype.code || from.dtype.bits != to.dtype.bits || from.dtype.lanes != to.dtype.lanes) {
    return "their dtypes differ; convert on one of the two devices";
  }
  if (from.ndim != to.ndim || !std::equal(from.shape, from.shape + from.ndim, to.shape)) {
    return fmt::format("their shapes differ, [{}] and [{}]; give the two one shape",
                       fmt::join(from.shape, from.shape + from.ndim, ", "),
                       fmt::join(to.shape, to.shape + to.ndim, ", "));
  }
  if (std::any_of(from.shape, from.shape + from.ndim, [](std::int64_t size) { return size < 0; })) {
    return "a size of their shape is negative";
  }
  if (bytes_of(from) != 0 && (from.data == nullptr || to.data == nullptr)) {
    return "one of them has no memory";
  }
  return is_dense(from) && is_dense(to) ? "" : "one of them is not dense";
}

char* host_bytes(const DLTensor& x) { return static_cast<char*>(x.data) + x.byte_offset; }

void* stream_for(DeviceState& device, const Stream* given) {
  if (given != nullptr) {
    return given->native();
  }
  return stream_in_use(device).native;
}

// One of the two tensors is on `device`, the other there too or in memory of the host.
void enqueue(DeviceState& device, const DLTensor& from, const DLTensor& to, const Stream* stream) {
  const auto plain = [](DLDevice d) {
    const Device folded = Device::of(d);
    return DLDevice{folded.type, folded.ordinal};
  };
  void* native = stream_for(device, stream);
  ask(device, fmt::format("copying {} bytes", bytes_of(from)), [&](const lh_device_1& table, lh_error* error) {
    return table.copy(plain(to.device), to.data, to.byte_offset, plain(from.device), from.data, from.byte_offset,
                      bytes_of(from), native, error);
  });
}

void copy_through_host(const DLTensor& from, const DLTensor& to, const Stream* stream) {
  std::vector<char> bytes(bytes_of(from));
  DLTensor staged = from;
  staged.data = bytes.data();
  staged.byte_offset = 0;
  staged.device = {kDLCPU, 0};
  const auto one_leg = [&](Device device, const DLTensor& a, const DLTensor& b) {
    DeviceState& on = find_device(device);
    const Stream* given = stream != nullptr && stream->device() == device ? stream : nullptr;
    enqueue(on, a, b, given);
    ask(on, "waiting for a copy", [&](const lh_device_1& table, lh_error* error) {
      return table.stream_synchronize(ordinal_of(on), stream_for(on, given), error);
    });
  };
  one_leg(Device::of(from.device), from, staged);
  one_leg(Device::of(to.device), staged, to);
}

}  // namespace
}  // namespace device

Buffer::Buffer(Device device, std::size_t bytes) : size_(bytes), device_(Device::of({device.type, device.ordinal})) {
  if (device_.type == kDLCPU) {
    const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + device::host_alignment - 1) /
                                device::host_alignment * device::host_alignment;
    data_ = rounded < bytes ? nullptr : std::aligned_alloc(device::host_alignment, rounded);
    if (data_ == nullptr) {
      throw Error(
          make_reason(ErrorCode::out_of_memory, "buffer", fmt::format("cpu: {} bytes are not to be had", bytes)));
    }
    return;
  }
  device::DeviceState& on = device::find_device(device_);
  device::pass_pending(on);  // what has become free may be what is needed
  device::ask(on, fmt::format("allocating {} bytes", bytes), [&](const lh_device_1& table, lh_error* error) {
    return table.allocate(device::ordinal_of(on), std::max<std::size_t>(bytes, 1), nullptr, &data_, error);
  });
}

Buffer Buffer::pinned_for(Device device, std::size_t bytes) {
  if (device.type != kDLCPU) {
    device::DeviceState& on = device::find_device(device);
    if (on.runtime.table().allocate_pinned != nullptr) {
      Buffer pinned;
      device::ask(on, fmt::format("allocating {} bytes of pinned memory", bytes),
                  [&](const lh_device_1& table, lh_error* error) {
                    return table.allocate_pinned(std::max<std::size_t>(bytes, 1), &pinned.data_, error);
                  });
      pinned.size_ = bytes;
      pinned.pinned_for_ = device;
      return pinned;
    }
  }
  return Buffer(Device::cpu(), bytes);
}

Buffer::~Buffer() {
  if (data_ == nullptr) {
    return;
  }
  const Device owner = device_.type != kDLCPU ? device_ : pinned_for_;
  if (owner.type == kDLCPU) {
    std::free(data_);
    return;
  }
  device::DeviceState& on = device::find_device(owner);  // it was there when the memory was made, and stays
  device::after_streams(on, [&on, memory = data_, pinned = device_.type == kDLCPU] {
    pinned ? on.runtime.table().release_pinned(memory)
           : on.runtime.table().release(device::ordinal_of(on), memory, nullptr);
  });
}

void Buffer::swap(Buffer& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(device_, other.device_);
  std::swap(pinned_for_, other.pinned_for_);
}

void copy(const DLTensor& from, const DLTensor& to, const Stream* stream) {
  const Device source = Device::of(from.device), target = Device::of(to.device);
  const auto refuse = [&](const std::string& fact) {
    throw Error(make_reason(ErrorCode::invalid_argument, "copy",
                            fmt::format("copy from {} to {}: {}", to_string(source), to_string(target), fact)));
  };
  if (const std::string fact = device::misfit(from, to); !fact.empty()) {
    refuse(fact);
  }
  if (stream != nullptr && stream->device() != source && stream->device() != target) {
    refuse(fmt::format("the stream is of {}; give one of either device", to_string(stream->device())));
  }
  if (device::bytes_of(from) == 0) {
    return;
  }
  if (source.type == kDLCPU && target.type == kDLCPU) {
    std::memmove(device::host_bytes(to), device::host_bytes(from), device::bytes_of(from));
  } else if (source.type != kDLCPU && target.type != kDLCPU && source.type != target.type) {
    device::copy_through_host(from, to, stream);
  } else {
    for (const Device taking_part : {source, target}) {
      if (taking_part.type != kDLCPU) {
        device::need_device(device::find_device(taking_part));
      }
    }
    const Device runs = target.type != kDLCPU && (stream == nullptr || stream->device() == target) ? target : source;
    device::enqueue(device::find_device(runs), from, to, stream);
  }
}

}  // namespace layerhub
