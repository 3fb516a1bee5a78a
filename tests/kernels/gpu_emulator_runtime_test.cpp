// SPDX-License-Identifier: Apache-2.0
// What the emulated runtime refuses and when its work runs: as late, and as strictly, as a real one may.
#include "support/catch.hpp"
#include "support/gpu_emulator/emulated_runtime.hpp"
#include "support/gpu_emulator/trial_kernels.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace layerhub::gpu_emulator {
namespace {

using Catch::Matchers::Contains;

constexpr Vendor cuda = Vendor::cuda;

// Four floats on a device of its own and a stream for them. The second device: a test may lose it.
struct OnDevice {
  OnDevice() {
    REQUIRE(set_device(cuda, 1) == success);
    void* memory = nullptr;
    REQUIRE(allocate(cuda, &memory, sizeof(std::array<float, 4>)) == success);
    values = static_cast<float*>(memory);
    REQUIRE(create_stream(cuda, &stream) == success);
    write({1, 2, 3, 4});
  }
  ~OnDevice() {
    destroy_stream(cuda, stream);
    release(cuda, values);
  }
  void write(std::array<float, 4> from) const {
    REQUIRE(copy(cuda, values, from.data(), sizeof from, Direction::host_to_device, stream) == success);
  }
  std::array<float, 4> read(Stream* through) const {
    std::array<float, 4> to{};
    CHECK(copy(cuda, to.data(), values, sizeof to, Direction::device_to_host, through) == success);
    return to;
  }

  float* values = nullptr;
  Stream* stream = nullptr;
};

constexpr std::array<float, 4> as_written{1, 2, 3, 4}, with_one_added{2, 3, 4, 5};

TEST_CASE("what a stream was given runs when somebody waits for it, and not before") {
  const OnDevice on;
  REQUIRE(synchronize_stream(cuda, on.stream) == success);
  Stream* other = nullptr;
  REQUIRE(create_stream(cuda, &other) == success);
  REQUIRE(launch(cuda, trial::added(on.values, 1, 4), on.stream) == success);
  CHECK(on.read(other) == as_written);
  CHECK(on.read(on.stream) == with_one_added);
  destroy_stream(cuda, other);
}

TEST_CASE("a stream that waits for an event waits for what was before it in the other stream") {
  const OnDevice on;
  Stream* other = nullptr;
  Event* event = nullptr;
  REQUIRE(create_stream(cuda, &other) == success);
  REQUIRE(create_event(cuda, &event) == success);
  REQUIRE(launch(cuda, trial::added(on.values, 1, 4), on.stream) == success);
  REQUIRE(record_event(cuda, event, on.stream) == success);
  REQUIRE(launch(cuda, trial::added(on.values, 100, 4), on.stream) == success);
  REQUIRE(wait_for(cuda, other, event) == success);
  CHECK(query_event(cuda, event) == not_ready);
  CHECK(on.read(other) == with_one_added);
  CHECK(query_event(cuda, event) == success);
  destroy_event(cuda, event);
  destroy_stream(cuda, other);
}

TEST_CASE("a capture runs nothing, and its graph runs on what the memory holds then, as often as it is launched") {
  const OnDevice on;
  Graph* graph = nullptr;
  REQUIRE(begin_capture(cuda, on.stream) == success);
  REQUIRE(launch(cuda, trial::added(on.values, 1, 4), on.stream) == success);
  REQUIRE(end_capture(cuda, on.stream, &graph) == success);
  CHECK(on.read(on.stream) == as_written);
  REQUIRE(launch_graph(cuda, graph, on.stream) == success);
  CHECK(on.read(on.stream) == with_one_added);
  on.write({10, 20, 30, 40});
  REQUIRE(launch_graph(cuda, graph, on.stream) == success);
  REQUIRE(launch_graph(cuda, graph, on.stream) == success);
  CHECK(on.read(on.stream) == std::array<float, 4>{12, 22, 32, 42});
  destroy_graph(cuda, graph);
}

TEST_CASE("waiting, allocating, releasing and a copy of the host's pageable memory break a capture") {
  const OnDevice on;
  void* memory = nullptr;
  std::array<float, 4> host{};
  const std::function<Code()> calls[] = {
      [&] { return synchronize_stream(cuda, on.stream); },
      [&] { return allocate(cuda, &memory, 16); },
      [&] { return release(cuda, on.values); },
      [&] { return copy(cuda, host.data(), on.values, sizeof host, Direction::device_to_host, on.stream); },
  };
  for (const auto& call : calls) {
    Graph* graph = nullptr;
    REQUIRE(begin_capture(cuda, on.stream) == success);
    CHECK(call() == not_in_capture);
    CHECK(end_capture(cuda, on.stream, &graph) == capture_broken);
    CHECK(graph == nullptr);
  }
}

TEST_CASE("the default stream has no place in a capture") {
  const OnDevice on;
  Graph* graph = nullptr;
  REQUIRE(begin_capture(cuda, on.stream) == success);
  CHECK(launch(cuda, trial::added(on.values, 1, 4), nullptr) == capture_implicit);
  CHECK(end_capture(cuda, on.stream, &graph) == capture_broken);
}

TEST_CASE("the host that follows a device pointer faults") {
  const OnDevice on;
  REQUIRE(synchronize_stream(cuda, on.stream) == success);
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);
    _exit(on.values[0] == 1 ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
}

TEST_CASE("a launch on a stream of another device, or of a size that no device takes, is refused") {
  const OnDevice on;
  REQUIRE(set_device(cuda, 0) == success);
  CHECK(launch(cuda, trial::added(on.values, 1, 4), on.stream) == invalid_handle);
  REQUIRE(set_device(cuda, 1) == success);
  CHECK(launch(cuda, trial::added(on.values, 1, 0), on.stream) == invalid_configuration);
  CHECK(launch(cuda, trial::added(on.values, 1, 1025), on.stream) == invalid_configuration);
  CHECK(launch(cuda, trial::dynamic_index(on.values, 12289, 0), on.stream) == invalid_value);
}

TEST_CASE("a copy that leaves its allocation, or goes another way than it says, is refused") {
  const OnDevice on;
  std::array<float, 8> host{};
  CHECK(copy(cuda, on.values, host.data(), sizeof host, Direction::host_to_device, on.stream) == invalid_value);
  CHECK(copy(cuda, on.values, host.data(), 16, Direction::device_to_host, on.stream) == invalid_value);
}

// The last one: it loses the device for good.
TEST_CASE("a kernel's fault is every later call's on its device, with the kernel's error, and no other device's") {
  const OnDevice on;
  REQUIRE(launch(cuda, trial::barrier_of_some(), on.stream) == success);
  CHECK(synchronize_stream(cuda, on.stream) == launch_failed);
  CHECK_THAT(text_of(cuda, launch_failed), Contains("wait_in_half_of_the_block"));
  void* memory = nullptr;
  CHECK(allocate(cuda, &memory, 16) == launch_failed);
  REQUIRE(set_device(cuda, 0) == success);
  CHECK(allocate(cuda, &memory, 16) == success);
  CHECK(release(cuda, memory) == success);
}

}  // namespace
}  // namespace layerhub::gpu_emulator
