// SPDX-License-Identifier: Apache-2.0
// Allocation and copies. Memory of the host that is not pinned is read when a copy is called, and written before the
// call returns, as a runtime may do it.
#include "device.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace layerhub::gpu_emulator {
namespace {

Device* device_with(System& system, const void* address) {
  for (const auto& device : system.devices) {
    if (device->memory.contains(address)) {
      return device.get();
    }
  }
  return nullptr;
}

struct Side {
  Device* device;  // nullptr: of the host
  bool is_pinned;
};

Side side_of(System& system, const void* address) {
  Device* device = device_with(system, address);
  const auto pinned = std::find_if(system.pinned.begin(), system.pinned.end(), [&](const auto& range) {
    const auto* begin = static_cast<const std::byte*>(range.first);
    const auto* byte = static_cast<const std::byte*>(address);
    return begin <= byte && byte < begin + range.second;
  });
  return {device, pinned != system.pinned.end()};
}

bool agrees(Direction direction, const Side& to, const Side& from) {
  const bool to_device = to.device != nullptr, from_device = from.device != nullptr;
  switch (direction) {
    case Direction::host_to_device: return to_device && !from_device;
    case Direction::device_to_host: return !to_device && from_device;
    case Direction::device_to_device: return to_device && from_device;
  }
  return false;
}

bool is_whole(const Side& side, const void* address, std::size_t bytes) {
  return side.device == nullptr || side.device->memory.is_allocated(address, bytes);
}

// Both sides may be touched while it runs: the stream's own device is, another one is not by itself.
Work copy_work(void* to, const void* from, std::size_t bytes, Device* first, Device* second) {
  return [=] {
    const DeviceMemory::Access to_access((first != nullptr ? first : second)->memory);
    const DeviceMemory::Access from_access((second != nullptr ? second : first)->memory);
    std::memcpy(to, from, bytes);
  };
}

}  // namespace

Code allocate(Vendor vendor, void** memory, std::size_t bytes) {
  return on_device(vendor, [&](Device& device) {
    if (const Code code = refused_in_capture(device); code != success) {
      return code;
    }
    *memory = device.memory.allocate(bytes);
    return *memory == nullptr ? out_of_memory : success;
  });
}

// Waits for the device, as the runtimes do.
Code release(Vendor vendor, void* memory) {
  return on_device(vendor, [&](Device& current) {
    Device* const device = device_with(system_of(vendor), memory);
    if (memory == nullptr || device == nullptr) {
      return memory == nullptr ? success : invalid_value;
    }
    if (const Code code = refused_in_capture(current); code != success) {
      return code;
    }
    run_all(*device);
    return device->memory.release(memory) ? success : invalid_value;
  });
}

Code allocate_pinned(Vendor vendor, void** memory, std::size_t bytes) {
  return on_device(vendor, [&](Device&) {
    *memory = std::malloc(std::max<std::size_t>(bytes, 1));
    system_of(vendor).pinned[*memory] = bytes;
    return success;
  });
}

Code release_pinned(Vendor vendor, void* memory) {
  return on_device(vendor, [&](Device& device) {
    run_all(device);
    if (system_of(vendor).pinned.erase(memory) == 0) {
      return memory == nullptr ? success : invalid_value;
    }
    std::free(memory);
    return success;
  });
}

Code memory_info(Vendor vendor, std::size_t* free, std::size_t* total) {
  return on_device(vendor, [&](Device& device) {
    *free = device.memory.free_bytes();
    *total = device.memory.bytes();
    return success;
  });
}

Code copy(Vendor vendor, void* to, const void* from, std::size_t bytes, Direction direction, Stream* stream) {
  return on_device(vendor, [&](Device& device) {
    const Side target = side_of(system_of(vendor), to), source = side_of(system_of(vendor), from);
    if (!agrees(direction, target, source) || !is_whole(target, to, bytes) || !is_whole(source, from, bytes)) {
      return invalid_value;
    }
    Stream& used = stream_of(device, stream);
    const bool from_pageable = source.device == nullptr && !source.is_pinned;
    const bool to_pageable = target.device == nullptr && !target.is_pinned;
    if (used.capture != nullptr && (from_pageable || to_pageable)) {  // a replay would find other memory there
      used.capture->broken = true;
      return not_in_capture;
    }
    if (from_pageable) {
      const auto* begin = static_cast<const std::byte*>(from);
      enqueue(used, [staged = std::vector<std::byte>(begin, begin + bytes), to, &target_device = *target.device] {
        copy_work(to, staged.data(), staged.size(), &target_device, nullptr)();
      });
    } else {
      enqueue(used, copy_work(to, from, bytes, target.device, source.device));
    }
    if (to_pageable) {
      run_queue(used);
    }
    return success;
  });
}

Code fill(Vendor vendor, void* to, int value, std::size_t bytes, Stream* stream) {
  return on_device(vendor, [&](Device& device) {
    if (!device.memory.is_allocated(to, bytes)) {
      return invalid_value;
    }
    enqueue(stream_of(device, stream), [=] { std::memset(to, value, bytes); });
    return success;
  });
}

}  // namespace layerhub::gpu_emulator
