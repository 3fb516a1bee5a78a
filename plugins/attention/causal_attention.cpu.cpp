// SPDX-License-Identifier: Apache-2.0
// CausalAttention with an online softmax; keys and values are read once for all query rows that share them.
//
// A job is a key head, a strip of its rows and a range of positions. How it is done depends on how many rows there are:
// few_rows.inl.hpp or row_panels.inl.hpp. A prompt is cut into strips of rows that each see all of their positions. A
// step of a few tokens is cut by positions instead: each chunk leaves a partial result (largest score, sum, unscaled
// output), and these are merged in the order of their positions. Both cuts depend on shapes and kv_length alone, never
// on the number of threads, so the bits do not either.
#include "row_panels.inl.hpp"

#include <layerhub/layers/attention.hpp>
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>

#include <array>
#include <atomic>
#include <new>
#include <numbers>
#include <string>

namespace {

using namespace layerhub::attention;

constexpr std::int64_t tokens_of_a_step = 16;    // up to here a call is cut by positions
constexpr std::int64_t max_chunks = 16;          // of positions, each a multiple of a block
constexpr std::int64_t least_strip_rows = 48;    // below it, preparing a block of keys and values weighs too much
constexpr std::int64_t strips_for_threads = 8;   // that many strips of a key head where there are rows enough
constexpr std::uint32_t max_tasks = 64;          // that run at once, each with a method in the workspace
constexpr std::int64_t least_products_per_worker = 40000;
constexpr std::int64_t least_rows_per_worker = 64;  // of what is appended or merged

class CausalAttentionKernel {
 public:
  static constexpr std::array constraints{dtype_in("q", f32, bf16, f16),
                                          dtype_in("k_cache", f32, f16, bf16),
                                          last_dim_dense("q"),
                                          last_dim_dense("k"),
                                          last_dim_dense("v"),
                                          last_dim_dense("output"),
                                          dim_range("q", 2, 1, max_width),
                                          dim_range("q", 1, 1, 4096)};
  static constexpr std::array tolerances{Tolerance{f32, 2e-2, 4e-3, 1e-5}, Tolerance{bf16, 3e-2, 3e-2, 1e-4},
                                         Tolerance{f16, 2e-2, 8e-3, 1e-5}};

  static void infer(InferCall& call) {
    const std::int64_t tokens = call.in[0].dim[0], heads = call.in[0].dim[1], width = call.in[0].dim[2];
    const std::int64_t kv_heads = call.in[1].dim[1];
    const bool is_cut = tokens <= tokens_of_a_step && call.in[3].dim[0] > positions_per_block;
    const std::int64_t floats = is_cut ? tokens * heads * partial_floats(rounded_up(width, lanes)) : 0;
    const std::size_t method = tokens * heads <= few_rows * kv_heads ? sizeof(FewRows) : sizeof(RowPanels);
    call.forward_workspace = max_tasks * method + static_cast<std::size_t>(floats) * sizeof(float);
  }

  static void forward(const lh_call& call) {
    const CausalAttentionKernel kernel(call);
    kernel.check();
    if (kernel.problem_.tokens == 0) {
      return;
    }
    visit_float(call.in[0]->dtype, [&]<class T>() {
      visit_float(call.out[1]->dtype, [&]<class C>() {
        kernel.append<T, C>();
        if (kernel.problem_.rows_per_head() <= few_rows) {
          kernel.run_chunks<T, C, FewRows>();
        } else if (kernel.problem_.tokens <= tokens_of_a_step) {
          kernel.run_chunks<T, C, RowPanels>();
        } else {
          kernel.run_strips<T, C, RowPanels>();
        }
      });
    });
  }

 private:
  explicit CausalAttentionKernel(const lh_call& call)
      : call_(call),
        problem_{*call.in[0],
                 *call.out[1],
                 *call.out[2],
                 call.in[0]->shape[0],
                 call.in[0]->shape[1],
                 call.in[1]->shape[1],
                 call.in[0]->shape[2],
                 call.scalars[0].i,
                 static_cast<float>(call.scalars[1].f * std::numbers::log2e)} {}

  void check() const {
    const std::int64_t capacity = problem_.k_cache.shape[0];
    if (problem_.kv_heads == 0 || problem_.heads % problem_.kv_heads != 0) {
      throw Failure(LH_INVALID, std::to_string(problem_.heads) + " query heads are no multiple of " +
                                    std::to_string(problem_.kv_heads) + " key heads");
    }
    if (problem_.before < 0 || problem_.before > capacity || problem_.tokens > capacity - problem_.before) {
      throw Failure(LH_INVALID, "the cache holds " + std::to_string(capacity) + " positions; " +
                                    std::to_string(problem_.before) + " are used and " +
                                    std::to_string(problem_.tokens) + " more do not fit");
    }
  }

  // The new keys, then the new values, a row of one head at a time.
  template <class T, class C>
  void append() const {
    const std::int64_t rows = problem_.tokens * problem_.kv_heads, width = problem_.width;
    parallel_ranges(call_.host, 2 * rows, least_rows_per_worker, 1, [&](Range range, std::uint32_t) {
      for (std::int64_t index = range.begin; index < range.end; ++index) {
        const bool is_value = index >= rows;
        const std::int64_t r = is_value ? index - rows : index;
        const T* from = row<const T>(*call_.in[is_value ? 2 : 1], r);
        C* to = data<C>(*call_.out[is_value ? 2 : 1]) + (problem_.before * problem_.kv_heads + r) * width;
        write(to, width, false, [&](std::int64_t i, auto extent) { return load(from + i, extent); });
      }
    });
  }

  // As many tasks as threads and memory allow, where there is work for `most`.
  std::uint32_t tasks_of(std::int64_t most) const {
    const std::int64_t at_once = std::min(worker_count(call_.host), max_tasks);
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(most, 1, at_once));
  }
  // A method is too large for the stack of every host's thread. A task's serves it for one job after the other.
  template <class Method>
  Method* memory_of(std::uint32_t task) const {
    return static_cast<Method*>(call_.workspace) + task;
  }

  template <class Method>
  std::int64_t rows_of_strip() const {
    const std::int64_t rows = problem_.rows_per_head();
    const std::int64_t strips = std::clamp<std::int64_t>(rows / least_strip_rows, 1, strips_for_threads);
    return std::min(rounded_up((rows + strips - 1) / strips, panel_rows), Method::most_rows(problem_.pitch()));
  }

  template <class T, class C, class Method>
  void run_strips() const {
    const std::int64_t rows = problem_.rows_per_head(), strip = rows_of_strip<Method>(),
                       strips = (rows + strip - 1) / strip;
    const std::int64_t jobs = strips * problem_.kv_heads;
    std::atomic<std::int64_t> next = 0;
    parallel_for(call_.host, tasks_of(jobs), [&](std::uint32_t task, std::uint32_t) {
      auto& method = *new (memory_of<Method>(task)) Method;
      for (std::int64_t job = next++; job < jobs; job = next++) {
        // The last strips see the most positions: they are begun first, so that no thread is left with one at the end.
        const std::int64_t first = (strips - 1 - job / problem_.kv_heads) * strip;
        const Rows which{job % problem_.kv_heads, first, std::min(strip, rows - first)};
        method.template begin<T>(problem_, which);
        method.template add<C>(problem_, which, 0, which.positions(problem_));
        write_results<T>(method, which);
      }
    });
  }

  template <class T, class C, class Method>
  void run_chunks() const {
    const std::int64_t rows = problem_.rows_per_head(), strip = rows_of_strip<Method>(),
                       strips = (rows + strip - 1) / strip;
    const std::int64_t chunk = rounded_up((problem_.end() + max_chunks - 1) / max_chunks, positions_per_block),
                       chunks = (problem_.end() + chunk - 1) / chunk;
    const std::int64_t per_chunk = strips * problem_.kv_heads, jobs = chunks * per_chunk;
    const std::int64_t products = 2 * std::min(chunk, problem_.end()) * std::min(rows, strip) * problem_.width;
    const std::uint32_t tasks = tasks_of(jobs / (least_products_per_worker / products + 1));
    parallel_for(call_.host, tasks, [&](std::uint32_t task, std::uint32_t) {
      auto& method = *new (memory_of<Method>(task)) Method;
      const Range own = part_of(jobs, 1, task, tasks);
      for (std::int64_t job = own.begin; job < own.end; ++job) {
        const std::int64_t from = job / per_chunk * chunk, first = job % per_chunk / problem_.kv_heads * strip;
        const Rows which{job % problem_.kv_heads, first, std::min(strip, rows - first)};
        const std::int64_t sees = which.positions(problem_);
        method.template begin<T>(problem_, which);
        method.template add<C>(problem_, which, from, std::min(sees, from + chunk));
        if (chunks == 1) {
          write_results<T>(method, which);
        } else {
          keep_partial(method, which, from / chunk);
        }
      }
    });
    if (chunks > 1) {
      parallel_ranges(call_.host, problem_.tokens * problem_.heads, least_rows_per_worker, 1,
                      [&](Range range, std::uint32_t) {
                        for (std::int64_t index = range.begin; index < range.end; ++index) {
                          merge<T, Method>(index, chunks);
                        }
                      });
    }
  }

  template <class T>
  void write_result(std::int64_t token, std::int64_t head, const float* output, float sum) const {
    const float factor = 1 / sum;
    write(row_of<T>(*call_.out[0], token, head), problem_.width, false,
          [&](std::int64_t i, auto) { return load(output + i, Whole{}) * factor; });
  }

  template <class T, class Method>
  void write_results(const Method& method, const Rows& which) const {
    which.for_each(problem_, [&](std::int64_t r, std::int64_t token, std::int64_t head) {
      write_result<T>(token, head, method.output(problem_, r), method.softmax(r).sum());
    });
  }

  // The partial results of a row, by chunks: largest scores, sums, outputs. They lie behind the tasks' methods.
  static std::int64_t partial_floats(std::int64_t pitch) { return max_chunks * (2 + pitch); }
  template <class Method>
  float* partial(std::int64_t index) const {
    return reinterpret_cast<float*>(memory_of<Method>(max_tasks)) + index * partial_floats(problem_.pitch());
  }

  template <class Method>
  void keep_partial(const Method& method, const Rows& which, std::int64_t chunk) const {
    const std::int64_t pitch = problem_.pitch();
    which.for_each(problem_, [&](std::int64_t r, std::int64_t token, std::int64_t head) {
      float* to = partial<Method>(token * problem_.heads + head);
      to[chunk] = method.softmax(r).largest;
      to[max_chunks + chunk] = method.softmax(r).sum();
      std::copy_n(method.output(problem_, r), pitch, to + 2 * max_chunks + chunk * pitch);
    });
  }

  template <class T, class Method>
  void merge(std::int64_t index, std::int64_t chunks) const {
    float* const from = partial<Method>(index);
    float* const weights = from;
    Softmax softmax = Softmax::of(chunks);
    // The largest scores become the chunks' weights as scores become those of positions.
    float nothing[1];
    weigh_rows<1>(&softmax, weights, (chunks + lanes - 1) / lanes, &chunks, nothing);
    float total = 0;
    for (std::int64_t c = 0; c < chunks; ++c) {
      total += weights[c] * from[max_chunks + c];
    }
    alignas(64) float output[max_width] = {};
    constexpr float as_it_is = 1;
    add_values<1>(weights, &as_it_is, from + 2 * max_chunks, problem_.pitch(), chunks, problem_.pitch(), output, 0);
    write_result<T>(index / problem_.heads, index % problem_.heads, output, total);
  }

  const lh_call& call_;
  Problem problem_;
};

LAYERHUB_KERNEL(CausalAttentionKernel, layerhub::layers::CausalAttention, "online-softmax");

}  // namespace
