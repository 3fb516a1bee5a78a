// SPDX-License-Identifier: Apache-2.0
// Work in parallel on the host's threads, through "lh.parallel/1". A host without it gives one worker: the caller.
#pragma once

#include <layerhub/abi/parallel.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace layerhub::sdk {

namespace detail {
struct KnownHost {
  const lh_host* host;
  const lh_parallel_1* extension;
  const KnownHost* next;
};
}  // namespace detail

// The extension of this host. A plugin meets one host, rarely two, so answers are kept for ever: looking one up by its
// text would cost as much as handing over the work.
inline const lh_parallel_1* parallel_extension(const lh_host* host) {
  static std::atomic<const detail::KnownHost*> known{nullptr};
  if (host == nullptr) {
    return nullptr;
  }
  const detail::KnownHost* first = known.load(std::memory_order_acquire);
  for (const detail::KnownHost* one = first; one != nullptr; one = one->next) {
    if (one->host == host) {
      return one->extension;
    }
  }
  auto* fresh = new detail::KnownHost{
      host, static_cast<const lh_parallel_1*>(host->get_extension(host, LH_PARALLEL_1_ID)), first};
  while (!known.compare_exchange_weak(fresh->next, fresh, std::memory_order_release, std::memory_order_relaxed)) {
  }
  return fresh->extension;
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
  const std::uint32_t workers = count / 2 >= least && count > 1 ? worker_count(host) : 1;
  if (workers == 1) {
    if (count > 0) {
      body(Range{0, count}, 0u);
    }
    return;
  }
  const std::int64_t useful = least > 0 ? count / least : count;
  const auto parts = static_cast<std::uint32_t>(useful < workers ? useful : workers);
  parallel_for(host, parts, [&](std::uint32_t index, std::uint32_t worker) {
    const Range range = part_of(count, grain, index, parts);
    if (range.begin < range.end) {
      body(range, worker);
    }
  });
}

}  // namespace layerhub::sdk
