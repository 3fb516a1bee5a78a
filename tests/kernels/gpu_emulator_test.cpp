// SPDX-License-Identifier: Apache-2.0
// What the emulator of GPUs must see, or the kernels' tests on it prove nothing: each kernel here has one defect.
#include "support/catch.hpp"
#include "support/gpu_emulator/trial_kernels.hpp"

#include <cmath>
#include <numeric>
#include <vector>

namespace layerhub::gpu_emulator {
namespace {

using Catch::Matchers::Contains;

std::vector<float> counting(std::size_t n) {
  std::vector<float> values(n);
  std::iota(values.begin(), values.end(), 0.f);
  return values;
}

// How many of some runs give the reversed values.
int right_runs(Launch (*make)(const float*, float*, unsigned), int runs) {
  const std::vector<float> from = counting(256), want(from.rbegin(), from.rend());
  int right = 0;
  for (int i = 0; i < runs; ++i) {
    std::vector<float> to(from.size());
    CHECK(run(make(from.data(), to.data(), 256)) == "");
    right += to == want;
  }
  return right;
}

TEST_CASE("threads that wait for each other get what the others wrote, in every order in which they may run") {
  CHECK(right_runs(trial::reversed, 50) == 50);
}

TEST_CASE("a missing barrier gives wrong results") { CHECK(right_runs(trial::reversed_without_barrier, 50) == 0); }

TEST_CASE("shared memory is garbage when a block begins") {
  std::vector<float> to(3);
  CHECK(run(trial::unwritten_shared(to.data(), 3)) == "");
  for (const float value : to) {
    CHECK(std::isnan(value));
  }
}

TEST_CASE("a barrier that some threads never come to is an error that names the kernel, the threads and the line") {
  const std::string error = run(trial::barrier_of_some());
  CHECK_THAT(error, Contains("wait_in_half_of_the_block") && Contains("waits for the block at trial_kernels.cpp:") &&
                        Contains("has ended"));
}

TEST_CASE("barriers in two branches are two barriers") {
  CHECK_THAT(run(trial::barriers_at_two_places()), Contains("wait_in_both_branches") && Contains("thread (32, 0, 0)"));
}

TEST_CASE("an access of 128 bits at an address that is no multiple of 16 is an error") {
  alignas(16) float memory[8] = {};
  CHECK(run(trial::pack_at(memory)) == "");
  CHECK(memory[3] == 4);
  CHECK_THAT(run(trial::pack_at(memory + 2)), Contains("float4") && Contains("not aligned to 16 bytes"));
}

TEST_CASE("an index outside of a shared array is an error") {
  float to = 0;
  CHECK(run(trial::static_index(&to, 7)) == "");
  CHECK_THAT(run(trial::static_index(&to, 8)), Contains("index 8 is outside of"));
}

TEST_CASE("a write behind the dynamic shared memory of a launch is an error") {
  float to = 0;
  CHECK(run(trial::dynamic_index(&to, 16, 15)) == "");
  CHECK_THAT(run(trial::dynamic_index(&to, 16, 16)), Contains("behind the 64 bytes of dynamic shared memory"));
}

TEST_CASE("shuffles move values within a warp of 32 and within one of 64") {
  for (const unsigned warp : {32u, 64u}) {
    std::vector<float> to(128);
    CHECK(run(trial::exchanged(to.data(), 128, 32, warp)) == "");
    CHECK(to[5] == (warp == 64 ? 37 : 5));
    CHECK(to[100] == (warp == 64 ? 68 : 100));
    CHECK(run(trial::moved_down(to.data(), 128, 8, warp)) == "");
    CHECK(to[3] == 11);
    CHECK(to[31] == (warp == 64 ? 39 : 31));  // the last lanes keep their own
    CHECK(to[127] == 127);
  }
}

TEST_CASE("a shuffle that not all lanes of its mask come to is an error") {
  std::vector<float> to(64);
  CHECK_THAT(run(trial::shuffle_of_some(to.data())),
             Contains("waits for its warp at trial_kernels.cpp:") && Contains("has ended"));
}

TEST_CASE("a shuffle that reads a lane outside of its mask is an error") {
  std::vector<float> to(64);
  CHECK_THAT(run(trial::shuffle_beyond_its_mask(to.data())), Contains("a lane that does not take part"));
}

}  // namespace
}  // namespace layerhub::gpu_emulator
