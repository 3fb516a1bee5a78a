// SPDX-License-Identifier: Apache-2.0
// Streams, events, launches and graphs. A stream's work runs when somebody waits for it. The default stream is one like
// the others: those that are created do not wait for it, nor it for them.
#include "device.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace layerhub::gpu_emulator {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The device's stream for a handle; nullptr for a handle that is another device's.
Stream* find_stream(Device& device, Stream* stream) {
  if (stream == nullptr) {
    return &device.default_stream;
  }
  return device.streams.contains(stream) ? stream : nullptr;
}

Device* owner(Vendor vendor, Stream* stream) {
  for (const auto& device : system_of(vendor).devices) {
    if (device->streams.contains(stream)) {
      return device.get();
    }
  }
  return nullptr;
}

void execute(Device& device, const Launch& launch) {
  const std::string error = run(launch);
  if (!error.empty()) {
    device.fault = launch_failed;
    device.fault_text = error;
    std::fprintf(stderr, "gpu_emulator: %s: %s\n", device.properties.name.c_str(), error.c_str());
  }
}

Code check_sizes(const Device& device, const Launch& launch) {
  const dim3 &grid = launch.grid, &block = launch.block;
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    return invalid_configuration;
  }
  return launch.shared_bytes > device.properties.shared_bytes ? invalid_value : success;
}

}  // namespace

Stream& stream_of(Device& device, Stream* stream) { return stream == nullptr ? device.default_stream : *stream; }

void run_queue(Stream& stream, const Record* until) {
  const DeviceMemory::Access access(stream.device->memory);
  while (!stream.queue.empty() && !(until != nullptr && until->done)) {
    const Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    if (stream.device->fault == success) {
      work();
    }
  }
}

void run_all(Device& device) {
  run_queue(device.default_stream);
  for (Stream* stream : device.streams) {
    run_queue(*stream);
  }
}

void enqueue(Stream& stream, Work work) {
  if (stream.capture != nullptr) {
    stream.capture->nodes.push_back(std::move(work));
    return;
  }
  stream.queue.push_back(std::move(work));
}

Code refused_in_capture(Device& device) {
  Code code = success;
  for (Stream* stream : device.streams) {
    if (stream->capture != nullptr && stream->capture->captured_by == std::this_thread::get_id()) {
      stream->capture->broken = true;
      code = not_in_capture;
    }
  }
  return code;
}

// ---- Streams ----

Code create_stream(Vendor vendor, Stream** stream) {
  return on_device(vendor, [&](Device& device) {
    *stream = new Stream{&device};
    device.streams.insert(*stream);
    return success;
  });
}

// Its work runs now, which is as good as later.
Code destroy_stream(Vendor vendor, Stream* stream) {
  return guarded(vendor, [&] {
    Device* device = owner(vendor, stream);
    if (device == nullptr) {
      return invalid_handle;
    }
    run_queue(*stream);
    device->streams.erase(stream);
    delete stream;
    return success;
  });
}

// Of any device, whichever is current.
static Code on_stream(Vendor vendor, Stream* stream, const std::function<Code(Stream&)>& run) {
  return guarded(vendor, [&] {
    System& system = system_of(vendor);
    if (system.devices.empty()) {
      return no_device;
    }
    Device* device = stream == nullptr ? system.devices[thread_state(vendor).current].get() : owner(vendor, stream);
    if (device == nullptr) {
      return invalid_handle;
    }
    const Code code = device->fault != success ? device->fault : run(stream_of(*device, stream));
    return device->fault != success ? device->fault : code;
  });
}

Code synchronize_stream(Vendor vendor, Stream* stream) {
  return on_stream(vendor, stream, [](Stream& waited) {
    if (waited.capture != nullptr) {
      waited.capture->broken = true;
      return not_in_capture;
    }
    run_queue(waited);
    return success;
  });
}

Code device_of(Vendor vendor, Stream* stream, int* ordinal) {
  return on_stream(vendor, stream, [&](Stream& asked) {
    *ordinal = asked.device->ordinal;
    return success;
  });
}

Code wait_for(Vendor vendor, Stream* stream, Event* event) {
  return on_stream(vendor, stream, [&](Stream& waiting) {
    if (event == nullptr) {
      return invalid_handle;
    }
    if (waiting.capture != nullptr) {  // a graph of several streams: nobody here makes one
      waiting.capture->broken = true;
      return not_in_capture;
    }
    if (event->record != nullptr) {
      enqueue(waiting, [record = event->record] {
        if (!record->done) {
          run_queue(*record->stream, record.get());
        }
      });
    }
    return success;
  });
}

// ---- Events ----

Code create_event(Vendor vendor, Event** event) {
  return on_device(vendor, [&](Device& device) {
    *event = new Event{&device};
    return success;
  });
}

Code destroy_event(Vendor vendor, Event* event) {
  return guarded(vendor, [&] {
    delete event;
    return success;
  });
}

Code record_event(Vendor vendor, Event* event, Stream* stream) {
  return on_stream(vendor, stream, [&](Stream& recorded) {
    if (event == nullptr || event->device != recorded.device) {
      return invalid_handle;
    }
    if (recorded.capture != nullptr) {
      recorded.capture->broken = true;
      return not_in_capture;
    }
    event->record = std::make_shared<Record>(Record{&recorded});
    enqueue(recorded, [record = event->record] {
      record->done = true;
      record->seconds = now();
    });
    return success;
  });
}

static Code on_event(Vendor vendor, Event* event, const std::function<Code(Record&)>& run) {
  return guarded(vendor, [&] {
    if (event == nullptr || event->record == nullptr) {
      return invalid_handle;
    }
    const Code code = event->device->fault != success ? event->device->fault : run(*event->record);
    return event->device->fault != success ? event->device->fault : code;
  });
}

Code query_event(Vendor vendor, Event* event) {
  return on_event(vendor, event, [](Record& record) { return record.done ? success : not_ready; });
}

Code synchronize_event(Vendor vendor, Event* event) {
  return on_event(vendor, event, [](Record& record) {
    if (!record.done) {
      run_queue(*record.stream, &record);
    }
    return success;
  });
}

Code elapsed(Vendor vendor, Event* first, Event* second, float* milliseconds) {
  return on_event(vendor, first, [&](Record& from) {
    if (second == nullptr || second->record == nullptr) {
      return invalid_handle;
    }
    if (!from.done || !second->record->done) {
      return not_ready;
    }
    *milliseconds = static_cast<float>(1e3 * (second->record->seconds - from.seconds));
    return success;
  });
}

// ---- Launches and graphs ----

Code launch(Vendor vendor, Launch launch, Stream* stream) {
  return on_device(vendor, [&](Device& device) {
    Stream* const target = find_stream(device, stream);
    if (target == nullptr) {
      return invalid_handle;
    }
    if (target == &device.default_stream && refused_in_capture(device) != success) {
      return capture_implicit;
    }
    launch.warp = static_cast<unsigned>(device.properties.warp);
    const Code code = check_sizes(device, launch);
    if (code == success) {
      enqueue(*target, [&device, launch = std::move(launch)] { execute(device, launch); });
    }
    return code;
  });
}

Code begin_capture(Vendor vendor, Stream* stream) {
  return on_stream(vendor, stream, [](Stream& captured) {
    if (&captured == &captured.device->default_stream || captured.capture != nullptr) {
      return not_in_capture;
    }
    captured.capture = std::make_unique<Graph>(Graph{captured.device, {}, false, std::this_thread::get_id()});
    return success;
  });
}

Code end_capture(Vendor vendor, Stream* stream, Graph** graph) {
  *graph = nullptr;
  return on_stream(vendor, stream, [&](Stream& captured) {
    if (captured.capture == nullptr) {
      return invalid_value;
    }
    const std::unique_ptr<Graph> made = std::move(captured.capture);
    if (made->broken) {
      return capture_broken;
    }
    *graph = new Graph(*made);
    return success;
  });
}

Code copy_graph(Vendor vendor, Graph** copy, const Graph* graph) {
  return guarded(vendor, [&] {
    *copy = graph == nullptr ? nullptr : new Graph(*graph);
    return graph == nullptr ? invalid_value : success;
  });
}

Code launch_graph(Vendor vendor, Graph* graph, Stream* stream) {
  return on_stream(vendor, stream, [&](Stream& target) {
    if (graph == nullptr || graph->device != target.device) {
      return invalid_handle;
    }
    for (const Work& node : graph->nodes) {
      enqueue(target, node);
    }
    return success;
  });
}

Code destroy_graph(Vendor vendor, Graph* graph) {
  return guarded(vendor, [&] {
    delete graph;
    return success;
  });
}

}  // namespace layerhub::gpu_emulator
