// SPDX-License-Identifier: Apache-2.0
#include <layerhub/sdk/cpu.hpp>

#include "support/catch.hpp"
#include "support/thread_host.hpp"

#include <vector>

namespace layerhub::sdk {
namespace {

using testing::ThreadHost;

TEST_CASE("parts cover every element once, cut at the grain, and differ by one grain at most") {
  for (const std::int64_t count : {0, 1, 63, 64, 65, 1000, 4096}) {
    for (const std::uint32_t parts : {1u, 2u, 3u, 7u, 64u}) {
      std::int64_t next = 0, least = count, most = 0;
      for (std::uint32_t index = 0; index < parts; ++index) {
        const Range range = part_of(count, 64, index, parts);
        CHECK(range.begin == next);
        CHECK((range.begin % 64 == 0 || range.begin == count));
        least = std::min(least, range.end - range.begin);
        most = std::max(most, range.end - range.begin);
        next = range.end;
      }
      CHECK(next == count);
      CHECK(most - least <= 64 + 64);  // one grain, and the last one may be short
    }
  }
}

TEST_CASE("each index runs once, on as many workers as the host has") {
  ThreadHost::instance().set_width(3);
  std::vector<int> runs(100);
  parallel_for(ThreadHost::instance().host(), 100, [&](std::uint32_t index, std::uint32_t worker) {
    ++runs[index];
    if (worker >= 3) runs[index] += 100;
  });
  CHECK(runs == std::vector<int>(100, 1));
}

TEST_CASE("work below two useful parts stays in the caller, as one range") {
  ThreadHost::instance().set_width(4);
  int ranges = 0;
  parallel_ranges(ThreadHost::instance().host(), 199, 100, 1, [&](Range range, std::uint32_t worker) {
    ++ranges;
    CHECK(worker == 0);
    CHECK(range.end == 199);
  });
  CHECK(ranges == 1);
}

TEST_CASE("no more parts are made than have the least work") {
  ThreadHost::instance().set_width(8);
  std::atomic<int> ranges{0};
  parallel_ranges(ThreadHost::instance().host(), 250, 100, 1, [&](Range, std::uint32_t) { ++ranges; });
  CHECK(ranges == 2);
}

TEST_CASE("a host without threads to lend, or none at all, runs everything in the caller") {
  static const lh_host bare{sizeof(lh_host), 0, nullptr,
                            [](const lh_host*, const char*) -> const void* { return nullptr; }, nullptr};
  for (const lh_host* host : {&bare, static_cast<const lh_host*>(nullptr)}) {
    CHECK(worker_count(host) == 1);
    std::vector<std::uint32_t> order;
    parallel_for(host, 3, [&](std::uint32_t index, std::uint32_t) { order.push_back(index); });
    CHECK(order == std::vector<std::uint32_t>{0, 1, 2});
  }
}

TEST_CASE("nothing runs where there is nothing to do") {
  parallel_ranges(ThreadHost::instance().host(), 0, 1, 1, [](Range, std::uint32_t) { FAIL("an empty range"); });
  SUCCEED();
}

}  // namespace
}  // namespace layerhub::sdk
