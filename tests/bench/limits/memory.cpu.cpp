// SPDX-License-Identifier: Apache-2.0
// What memory gives, as kernels: they are compiled, chosen, called and spread over threads as those that are held
// against them. Reading alone, copying, a stream of two reads and one write, and a copy by way of float, which is how
// all arithmetic on bfloat16 goes; what is written goes past the caches.
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <atomic>

using namespace layerhub::sdk;

namespace {

constexpr std::int64_t least_per_worker = 4096, grain = 64;  // floats

const float* floats(const DLTensor& t) { return static_cast<const float*>(t.data); }

// y[0] depends on every word of x, so that no read can be left out.
struct ReadAll {
  static constexpr std::string_view name = "ReadAll";
  static constexpr std::array arguments{input("x"), output("y")};
  static constexpr std::array constraints{dtype_in("x", f32), same_dtype("y", "x")};
};
struct Reading {
  static void forward(const lh_call& call) {
    const float* x = floats(*call.in[0]);
    std::atomic<float> kept{0};
    parallel_ranges(call.host, element_count(*call.in[0]), least_per_worker, grain, [&](Range range, std::uint32_t) {
      Floats sums[4] = {};
      std::int64_t i = range.begin;
      for (; i + 4 * lanes <= range.end; i += 4 * lanes) {
        for (int k = 0; k < 4; ++k) {
          sums[k] += load(x + i + k * lanes, Whole{});
        }
      }
      kept.store((sums[0] + sums[1] + sums[2] + sums[3])[0], std::memory_order_relaxed);
    });
    *static_cast<float*>(call.out[0]->data) = kept;
  }
};

struct CopyAll {
  static constexpr std::string_view name = "CopyAll";
  static constexpr std::array arguments{input("x"), output("y")};
  static constexpr std::array constraints{dtype_in("x", f32), same_dtype("y", "x"), same_shape("y", "x")};
};
struct Copying {
  static void forward(const lh_call& call) {
    const float* x = floats(*call.in[0]);
    auto* y = static_cast<float*>(call.out[0]->data);
    parallel_ranges(call.host, element_count(*call.in[0]), least_per_worker, grain, [&](Range range, std::uint32_t) {
      write(y + range.begin, range.end - range.begin, true,
            [&](std::int64_t i, auto extent) { return load(x + range.begin + i, extent); });
      stream_end();
    });
  }
};

struct ConvertAll {
  static constexpr std::string_view name = "ConvertAll";
  static constexpr std::array arguments{input("x"), output("y")};
  static constexpr std::array constraints{dtype_in("x", bf16), same_dtype("y", "x"), same_shape("y", "x")};
};
struct Converting {
  static void forward(const lh_call& call) {
    const auto* x = static_cast<const bfloat16*>(call.in[0]->data);
    auto* y = static_cast<bfloat16*>(call.out[0]->data);
    const std::int64_t count = element_count(*call.in[0]);
    parallel_ranges(call.host, count, 2 * least_per_worker, grain, [&](Range range, std::uint32_t) {
      write(
          y + range.begin, range.end - range.begin, true,
          [&](std::int64_t i, auto extent) { return load(x + range.begin + i, extent); },
          [&](std::int64_t i) { prefetch_ahead(x + range.begin + i); });
      stream_end();
    });
  }
};

struct AddAll {
  static constexpr std::string_view name = "AddAll";
  static constexpr std::array arguments{input("a"), input("b"), output("y")};
  static constexpr std::array constraints{dtype_in("a", f32), same_dtype("b", "a"), same_dtype("y", "a"),
                                          same_shape("b", "a"), same_shape("y", "a")};
};
struct Adding {
  static void forward(const lh_call& call) {
    const float *a = floats(*call.in[0]), *b = floats(*call.in[1]);
    auto* y = static_cast<float*>(call.out[0]->data);
    parallel_ranges(call.host, element_count(*call.in[0]), least_per_worker, grain, [&](Range range, std::uint32_t) {
      write(y + range.begin, range.end - range.begin, true, [&](std::int64_t i, auto extent) {
        return load(a + range.begin + i, extent) + load(b + range.begin + i, extent);
      });
      stream_end();
    });
  }
};

LAYERHUB_KERNEL(Reading, ReadAll, "read");
LAYERHUB_KERNEL(Copying, CopyAll, "copy");
LAYERHUB_KERNEL(Converting, ConvertAll, "convert");
LAYERHUB_KERNEL(Adding, AddAll, "add");

}  // namespace
