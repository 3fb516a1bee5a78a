// SPDX-License-Identifier: Apache-2.0
// What memory gives, as kernels: they are compiled, chosen, called and spread over threads as those that are held
// against them. Reading alone in three ways, copying, a stream of two reads and one write, and a copy by way of float,
// which is how all arithmetic on bfloat16 goes; what is written goes past the caches.
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <atomic>

using namespace layerhub::sdk;

namespace {

constexpr std::int64_t least_per_worker = 4096, grain = 64;  // floats

const float* floats(const DLTensor& t) { return static_cast<const float*>(t.data); }

// Of a read, y[0] depends on every word of x, so that none can be left out.
template <class Sum>
void read_all(const lh_call& call, Sum sum) {
  const float* x = floats(*call.in[0]);
  std::atomic<float> kept{0};
  parallel_ranges(call.host, element_count(*call.in[0]), least_per_worker, grain, [&](Range range, std::uint32_t) {
    kept.fetch_add(sum(x + range.begin, range.end - range.begin), std::memory_order_relaxed);
  });
  *static_cast<float*>(call.out[0]->data) = kept;
}

constexpr int sums = 4;  // at a time: more than the latency of an addition needs where memory is read

float total(const Floats (&partial)[sums], const float* rest, std::int64_t count) {
  const Floats all = partial[0] + partial[1] + partial[2] + partial[3];
  float sum = 0;
  for (int lane = 0; lane < lanes; ++lane) {
    sum += all[lane];
  }
  for (std::int64_t i = 0; i < count; ++i) {
    sum += rest[i];
  }
  return sum;
}

// One line after the other.
template <bool asks_ahead>
float sum_in_order(const float* x, std::int64_t count) {
  Floats partial[sums] = {};
  std::int64_t i = 0;
  for (; i + sums * lanes <= count; i += sums * lanes) {
    if constexpr (asks_ahead) {
      prefetch_ahead<sums * vector_bytes>(x + i);
    }
    for (int k = 0; k < sums; ++k) {
      partial[k] += load(x + i + k * lanes, Whole{});
    }
  }
  return total(partial, x + i, count - i);
}

// A line of each quarter in turn: a processor asks ahead for several runs at once.
float sum_of_runs(const float* x, std::int64_t count) {
  Floats partial[sums] = {};
  constexpr std::int64_t line = cache_line_bytes / 4;
  const std::int64_t run = count / (sums * line) * line;
  for (std::int64_t i = 0; i < run; i += line) {
    for (int k = 0; k < sums; ++k) {
      for (std::int64_t j = i; j < i + line; j += lanes) {
        partial[k] += load(x + k * run + j, Whole{});
      }
    }
  }
  return total(partial, x + sums * run, count - sums * run);
}

// What the layers of reading have in common.
struct Read {
  static constexpr std::array arguments{input("x"), output("y")};
  static constexpr std::array constraints{dtype_in("x", f32), same_dtype("y", "x")};
};
struct ReadAll : Read {
  static constexpr std::string_view name = "ReadAll";
};
struct Reading {
  static void forward(const lh_call& call) { read_all(call, sum_in_order<false>); }
};

struct ReadAhead : Read {
  static constexpr std::string_view name = "ReadAhead";
};
struct ReadingAhead {
  static void forward(const lh_call& call) { read_all(call, sum_in_order<true>); }
};

struct ReadRuns : Read {
  static constexpr std::string_view name = "ReadRuns";
};
struct ReadingRuns {
  static void forward(const lh_call& call) { read_all(call, sum_of_runs); }
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
LAYERHUB_KERNEL(ReadingAhead, ReadAhead, "read-ahead");
LAYERHUB_KERNEL(ReadingRuns, ReadRuns, "read-runs");
LAYERHUB_KERNEL(Copying, CopyAll, "copy");
LAYERHUB_KERNEL(Converting, ConvertAll, "convert");
LAYERHUB_KERNEL(Adding, AddAll, "add");

}  // namespace
