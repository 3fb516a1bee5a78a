// SPDX-License-Identifier: Apache-2.0
// Scale for the fake device: y = factor * x, as one step on the call's stream. FAKE_DEVICE_TYPE: the device;
// FAKE_FACTOR; FAKE_MIN_CAPABILITY, FAKE_MAX_CAPABILITY: of the devices that it is for. The instance is poisoned when
// it is destroyed, and the step reads it late. FAKE_WORKSPACE: x goes through the workspace, in two steps.
// FAKE_SHORT_OF_MEMORY: forward reports that.
#define LAYERHUB_TU_CAPABILITY FAKE_MIN_CAPABILITY
#include "support/fake_device.hpp"

#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/layer.hpp>
#include <layerhub/sdk/tensor.hpp>

#include <cstring>

namespace {

using namespace layerhub::sdk;
using layerhub::testing::FakeBuffer;
using layerhub::testing::FakeStream;

struct Scale {
  static constexpr std::string_view name = "Scale";
  static constexpr std::array arguments{input("x"), output("y")};
  static constexpr std::array constraints{dtype_in("x", f32), dtype_in("y", f32), same_shape("y", "x")};
};

char* bytes_of(void* memory) {
#ifdef FAKE_HANDLES
  return static_cast<FakeBuffer*>(memory)->bytes;
#else
  return static_cast<char*>(memory);
#endif
}

class ScaleKernel {
 public:
  explicit ScaleKernel(const CreateArgs&) {}
  ~ScaleKernel() { *const_cast<volatile float*>(&factor_) = -1000; }

#ifdef FAKE_WORKSPACE
  static void infer(InferCall& call) { call.forward_workspace = static_cast<std::size_t>(call.in[0].dim[0]) * 4; }
#endif

  std::int32_t forward(const lh_call& call) const {
#ifdef FAKE_SHORT_OF_MEMORY
    throw Failure(LH_OUT_OF_MEMORY, "the kernel found no room");
#endif
    const DLTensor &x = *call.in[0], &y = *call.out[0];
    char *from = bytes_of(x.data) + x.byte_offset, *to = bytes_of(y.data) + y.byte_offset;
    const std::int64_t n = element_count(x);
#ifdef FAKE_WORKSPACE
    char* through = bytes_of(call.workspace);
    enqueue(call.stream, {from, through, n, nullptr});
    enqueue(call.stream, {through, to, n, &factor_});
#else
    enqueue(call.stream, {from, to, n, &factor_});
#endif
    return LH_OK;
  }

 private:
  struct Work {
    const char* from;
    char* to;
    std::int64_t n;
    const float* factor;  // the instance's, read when the step runs; nullptr: 1
  };

  static void enqueue(void* stream, Work work) {
    auto* fake = static_cast<FakeStream*>(stream);
    fake->enqueue(
        fake, [](void* user) { run(*static_cast<Work*>(user)); }, [](void* user) { delete static_cast<Work*>(user); },
        new Work(work));
  }

  static void run(const Work& work) {
    for (std::int64_t i = 0; i < work.n; ++i) {
      float value;
      std::memcpy(&value, work.from + 4 * i, 4);
      value *= work.factor == nullptr ? 1.0f : *const_cast<const volatile float*>(work.factor);
      std::memcpy(work.to + 4 * i, &value, 4);
    }
  }

  float factor_ = FAKE_FACTOR;
};

LAYERHUB_KERNEL_ON(FAKE_DEVICE_TYPE, ScaleKernel, Scale, "fake");

}  // namespace
