// SPDX-License-Identifier: Apache-2.0
// Work in parallel on the host's threads, through "lh.parallel/1". A host without it gives one worker: the caller.
#pragma once

#include <layerhub/abi/parallel.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace layerhub::sdk {

// The extension of this host. A plugin meets one host, so the answer for the last one is kept: looking it up by its
// text would cost more than handing over the work.
inline const lh_parallel_1* parallel_extension(const lh_host* host) {
  static std::atomic<const lh_host*> known_host{nullptr};
  static std::atomic<const lh_parallel_1*> known_extension{nullptr};
  if (host == nullptr) {
    return nullptr;
  }
  if (known_host.load(std::memory_order_acquire) == host) {
    return known_extension.load(std::memory_order_relaxed);
  }
  const auto* extension = static_cast<const lh_parallel_1*>(host->get_extension(host, LH_PARALLEL_1_ID));
  known_extension.store(extension, std::memory_order_relaxed);
  known_host.store(host, std::memory_order_release);
  return extension;
}

// How many workers can run at once, the caller included.
inline std::uint32_t worker_count(const lh_host* host) {
  const lh_parallel_1* extension = parallel_extension(host);
  return extension == nullptr ? 1 : extension->width(host);
}

// Runs body(index, worker) for each index < tasks and returns when all have run. The body must not throw: an exception
// in a worker could reach nobody. One task runs in the caller without a hand-over.
template <class Body>
void parallel_for(const lh_host* host, std::uint32_t tasks, Body&& body) {
  const lh_parallel_1* extension = tasks > 1 ? parallel_extension(host) : nullptr;
  if (extension == nullptr) {
    for (std::uint32_t index = 0; index < tasks; ++index) {
      body(index, 0u);
    }
    return;
  }
  using Function = std::remove_reference_t<Body>;
  extension->run(
      host, tasks,
      [](void* user, std::uint32_t index, std::uint32_t worker) { (*static_cast<Function*>(user))(index, worker); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

struct Range {
  std::int64_t begin, end;
};

// Part `index` of `parts` of [0, count), cut at multiples of `grain`; parts differ by one grain at most.
inline Range part_of(std::int64_t count, std::int64_t grain, std::uint32_t index, std::uint32_t parts) {
  const std::int64_t grains = (count + grain - 1) / grain;
  const std::int64_t begin = grains * index / parts * grain;
  const std::int64_t end = grains * (index + 1) / parts * grain;
  return {begin < count ? begin : count, end < count ? end : count};
}

// Splits [0, count) into one part per worker where each part has at least `least` elements of work, else fewer parts;
// runs body(range, worker). Below two such parts it is serial: a hand-over costs more than it gains.
template <class Body>
void parallel_ranges(const lh_host* host, std::int64_t count, std::int64_t least, std::int64_t grain, Body&& body) {
  const std::int64_t useful = least > 0 ? count / least : count;
  const std::uint32_t workers = useful > 1 ? worker_count(host) : 1;
  const auto parts = static_cast<std::uint32_t>(useful < workers ? (useful < 1 ? 1 : useful) : workers);
  parallel_for(host, parts, [&](std::uint32_t index, std::uint32_t worker) {
    const Range range = part_of(count, grain, index, parts);
    if (range.begin < range.end) {
      body(range, worker);
    }
  });
}

}  // namespace layerhub::sdk
