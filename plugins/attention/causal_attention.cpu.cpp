// SPDX-License-Identifier: Apache-2.0
// CausalAttention with an online softmax over blocks of positions; keys and values are read once for all query
// rows that share them.
//
// A job is a key head, some tokens (their query heads of that group are its rows) and a range of positions. It
// walks the range in blocks of 32: the block's keys are widened to float, transposed where enough rows share them,
// all scores of the block are taken, the running maximum and sum of each row are corrected, and the values are
// added. With many tokens the jobs are tiles of tokens; a step of few tokens is cut into chunks of 512 positions
// instead, whose partial results (maximum, sum, unscaled output) are merged in their order. Both cuts depend on
// shapes and kv_length alone, never on the number of threads, so the bits do not either.
#include <layerhub/layers/attention.hpp>
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>
#include <layerhub/sdk/vector_math.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

namespace {

using namespace layerhub::sdk;

constexpr std::int64_t max_width = 256;
constexpr std::int64_t positions_per_block = 32;
constexpr std::int64_t positions_per_chunk = 512;
constexpr std::int64_t few_tokens = 4;  // up to here a call is cut by positions
constexpr std::int64_t max_rows = 32;   // query rows of a job
constexpr std::int64_t rows_worth_transposing = 8;
constexpr int block_vectors = positions_per_block / lanes;

std::int64_t padded(std::int64_t width) { return (width + lanes - 1) / lanes * lanes; }

// Where a row of q and its result are, and how far it sees.
struct Row {
  std::int64_t token, head;
  std::int64_t positions;
};

// The state of up to max_rows rows while positions pass by. Widths are padded with zeros to whole vectors.
struct Tile {
  alignas(64) float q[max_rows * max_width];
  alignas(64) float output[max_rows * max_width];
  alignas(64) float scores[max_rows * positions_per_block];
  alignas(64) float keys[max_width * positions_per_block];  // transposed, or by position
  alignas(64) float values[positions_per_block * max_width];
  float largest[max_rows], sum[max_rows];
  Row rows[max_rows];
  std::int64_t n_rows, width;  // width: padded
};

template <class T>
void widen_block(const DLTensor& cache, std::int64_t first, std::int64_t count, std::int64_t head, std::int64_t width,
                 float* to, std::int64_t pitch) {
  for (std::int64_t p = 0; p < count; ++p) {
    const T* from = data<const T>(cache) + ((first + p) * cache.shape[1] + head) * cache.shape[2];
    float* row_out = to + p * pitch;
    std::int64_t i = 0;
    for (; i + lanes <= width; i += lanes) {
      store(row_out + i, load(from + i, Whole{}), Whole{});
    }
    if (i < width) {
      store(row_out + i, load(from + i, Part{width - i}), Whole{});
    }
  }
}

void transpose(const float* from, std::int64_t width, float* to) {
  for (std::int64_t i = 0; i < width; ++i) {
    for (std::int64_t p = 0; p < positions_per_block; ++p) {
      to[i * positions_per_block + p] = from[p * width + i];
    }
  }
}

// Scores of all rows for a block whose keys are transposed: the lanes are positions.
void score_transposed(Tile& tile) {
  for (std::int64_t r = 0; r < tile.n_rows; ++r) {
    Floats sums[block_vectors] = {};
    const float* q = tile.q + r * tile.width;
    for (std::int64_t i = 0; i < tile.width; ++i) {
      for (int v = 0; v < block_vectors; ++v) {
        sums[v] += q[i] * load(tile.keys + i * positions_per_block + v * lanes, Whole{});
      }
    }
    for (int v = 0; v < block_vectors; ++v) {
      store(tile.scores + r * positions_per_block + v * lanes, sums[v], Whole{});
    }
  }
}

void score_direct(Tile& tile, std::int64_t count) {
  for (std::int64_t p = 0; p < count; ++p) {
    const float* key = tile.keys + p * tile.width;
    for (std::int64_t r = 0; r < tile.n_rows; ++r) {
      Floats products{};
      for (std::int64_t i = 0; i < tile.width; i += lanes) {
        products += load(key + i, Whole{}) * load(tile.q + r * tile.width + i, Whole{});
      }
      tile.scores[r * positions_per_block + p] = sum(products);
    }
  }
}

// One row: the new maximum, exponentials in place of scores, the old output corrected, the block's values added.
void add_block(Tile& tile, std::int64_t r, std::int64_t first, std::int64_t count) {
  const std::int64_t visible = std::min(count, tile.rows[r].positions - first);
  float* scores = tile.scores + r * positions_per_block;
  float* output = tile.output + r * tile.width;
  if (visible <= 0) {
    return;
  }
  float largest = tile.largest[r];
  for (std::int64_t p = 0; p < visible; ++p) {
    largest = std::max(largest, scores[p]);
  }
  std::fill(scores + visible, scores + positions_per_block, -std::numeric_limits<float>::infinity());
  Floats sums{};
  for (int v = 0; v < block_vectors; ++v) {
    const Floats e = layerhub::sdk::exp(load(scores + v * lanes, Whole{}) - largest);
    store(scores + v * lanes, e, Whole{});
    sums += e;
  }
  const float correction = std::exp(tile.largest[r] - largest);
  tile.sum[r] = tile.sum[r] * correction + sum(sums);
  tile.largest[r] = largest;
  for (std::int64_t i = 0; i < tile.width; i += lanes) {
    Floats out = load(output + i, Whole{}) * correction;
    for (std::int64_t p = 0; p < visible; ++p) {
      out += scores[p] * load(tile.values + p * tile.width + i, Whole{});
    }
    store(output + i, out, Whole{});
  }
}

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
    const std::int64_t tokens = call.in[0].dim[0], heads = call.in[0].dim[1], width = call.in[0].dim[2],
                       capacity = call.in[3].dim[0];
    const std::int64_t chunks = tokens > few_tokens ? 0 : (capacity + positions_per_chunk - 1) / positions_per_chunk;
    call.forward_workspace = static_cast<std::size_t>(chunks * tokens * heads * (padded(width) + 2)) * sizeof(float);
  }

  static void forward(const lh_call& call) {
    const CausalAttentionKernel kernel(call);
    kernel.check();
    visit_float(call.in[0]->dtype, [&]<class T>() {
      visit_float(call.out[1]->dtype, [&]<class C>() {
        kernel.append<T, C>(*call.in[1], *call.out[1]);
        kernel.append<T, C>(*call.in[2], *call.out[2]);
        if (kernel.tokens_ <= few_tokens) {
          kernel.run_chunks<T, C>();
        } else {
          kernel.run_tiles<T, C>();
        }
      });
    });
  }

 private:
  explicit CausalAttentionKernel(const lh_call& call)
      : call_(call),
        tokens_(call.in[0]->shape[0]),
        heads_(call.in[0]->shape[1]),
        kv_heads_(call.in[1]->shape[1]),
        width_(call.in[0]->shape[2]),
        capacity_(call.out[1]->shape[0]),
        before_(call.scalars[0].i),
        scale_(static_cast<float>(call.scalars[1].f)) {}

  void check() const {
    if (kv_heads_ == 0 || heads_ % kv_heads_ != 0) {
      throw Failure(LH_INVALID, std::to_string(heads_) + " query heads are no multiple of " +
                                    std::to_string(kv_heads_) + " key heads");
    }
    if (before_ < 0 || before_ > capacity_ || tokens_ > capacity_ - before_) {
      throw Failure(LH_INVALID, "the cache holds " + std::to_string(capacity_) + " positions; " +
                                    std::to_string(before_) + " are used and " + std::to_string(tokens_) +
                                    " more do not fit");
    }
  }

  std::int64_t group() const { return heads_ / kv_heads_; }

  template <class T, class C>
  void append(const DLTensor& fresh, const DLTensor& cache) const {
    parallel_ranges(call_.host, tokens_ * kv_heads_, 64, 1, [&](Range range, std::uint32_t) {
      for (std::int64_t index = range.begin; index < range.end; ++index) {
        const T* from = row<const T>(fresh, index);
        C* to = data<C>(cache) + (before_ * kv_heads_ + index) * width_;
        for (std::int64_t i = 0; i < width_; ++i) {
          to[i] = from_float<C>(to_float(from[i]));
        }
      }
    });
  }

  template <class T>
  void begin(Tile& tile, std::int64_t kv_head, std::int64_t first_row, std::int64_t n_rows) const {
    tile.width = padded(width_);
    tile.n_rows = n_rows;
    for (std::int64_t r = 0; r < n_rows; ++r) {
      const std::int64_t token = (first_row + r) / group(), head = kv_head * group() + (first_row + r) % group();
      tile.rows[r] = {token, head, before_ + token + 1};
      const T* q = row<const T>(*call_.in[0], token * heads_ + head);
      for (std::int64_t i = 0; i < tile.width; ++i) {
        tile.q[r * tile.width + i] = i < width_ ? to_float(q[i]) * scale_ : 0;
      }
      tile.largest[r] = -std::numeric_limits<float>::infinity();
      tile.sum[r] = 0;
    }
    std::fill(tile.output, tile.output + n_rows * tile.width, 0.f);
  }

  template <class C>
  void run(Tile& tile, std::int64_t kv_head, std::int64_t from, std::int64_t to) const {
    alignas(64) float by_position[positions_per_block * max_width];
    const bool transposes = tile.n_rows >= rows_worth_transposing;
    for (std::int64_t first = from; first < to; first += positions_per_block) {
      const std::int64_t count = std::min(positions_per_block, to - first);
      float* keys = transposes ? by_position : tile.keys;
      widen_block<C>(*call_.out[1], first, count, kv_head, width_, keys, tile.width);
      widen_block<C>(*call_.out[2], first, count, kv_head, width_, tile.values, tile.width);
      if (transposes) {
        std::fill(by_position + count * tile.width, by_position + positions_per_block * tile.width, 0.f);
        transpose(by_position, tile.width, tile.keys);
        score_transposed(tile);
      } else {
        score_direct(tile, count);
      }
      for (std::int64_t r = 0; r < tile.n_rows; ++r) {
        add_block(tile, r, first, count);
      }
    }
  }

  template <class T>
  void write(const float* output, float scale, Row at) const {
    T* to = row<T>(*call_.out[0], at.token * heads_ + at.head);
    for (std::int64_t i = 0; i < width_; ++i) {
      to[i] = from_float<T>(output[i] * scale);
    }
  }

  template <class T, class C>
  void run_tiles() const {
    const std::int64_t rows = tokens_ * group();
    const std::int64_t tiles = (rows + max_rows - 1) / max_rows;
    parallel_for(call_.host, static_cast<std::uint32_t>(tiles * kv_heads_), [&](std::uint32_t index, std::uint32_t) {
      // The last tiles see the most positions: they are begun first, so that no thread is left with one at the end.
      const std::int64_t first = (tiles - 1 - index / kv_heads_) * max_rows, kv_head = index % kv_heads_;
      Tile tile;
      begin<T>(tile, kv_head, first, std::min(max_rows, rows - first));
      run<C>(tile, kv_head, 0, tile.rows[tile.n_rows - 1].positions);
      for (std::int64_t r = 0; r < tile.n_rows; ++r) {
        write<T>(tile.output + r * tile.width, 1 / tile.sum[r], tile.rows[r]);
      }
    });
  }

  // A chunk's result for a row: the maximum, the sum, then the output; where a row sees nothing of it, sum is 0.
  float* partial(std::int64_t chunk, std::int64_t token, std::int64_t head) const {
    return static_cast<float*>(call_.workspace) + ((chunk * tokens_ + token) * heads_ + head) * (padded(width_) + 2);
  }

  template <class T, class C>
  void run_chunks() const {
    const std::int64_t end = before_ + tokens_;
    const std::int64_t chunks = (end + positions_per_chunk - 1) / positions_per_chunk;
    const std::int64_t rows = tokens_ * group(), jobs_per_head = (rows + max_rows - 1) / max_rows;
    parallel_for(call_.host, static_cast<std::uint32_t>(chunks * kv_heads_ * jobs_per_head),
                 [&](std::uint32_t index, std::uint32_t) {
                   const std::int64_t chunk = index / (kv_heads_ * jobs_per_head),
                                      kv_head = index / jobs_per_head % kv_heads_;
                   const std::int64_t first = index % jobs_per_head * max_rows;
                   Tile tile;
                   begin<T>(tile, kv_head, first, std::min(max_rows, rows - first));
                   run<C>(tile, kv_head, chunk * positions_per_chunk, std::min(end, (chunk + 1) * positions_per_chunk));
                   for (std::int64_t r = 0; r < tile.n_rows; ++r) {
                     float* to = partial(chunk, tile.rows[r].token, tile.rows[r].head);
                     to[0] = tile.largest[r];
                     to[1] = tile.sum[r];
                     std::copy(tile.output + r * tile.width, tile.output + (r + 1) * tile.width, to + 2);
                   }
                 });
    for (std::int64_t row_index = 0; row_index < tokens_ * heads_; ++row_index) {
      merge<T>(row_index / heads_, row_index % heads_, chunks);
    }
  }

  template <class T>
  void merge(std::int64_t token, std::int64_t head, std::int64_t chunks) const {
    float largest = -std::numeric_limits<float>::infinity(), total = 0;
    for (std::int64_t c = 0; c < chunks; ++c) {
      largest = std::max(largest, partial(c, token, head)[0]);
    }
    alignas(64) float output[max_width] = {};
    for (std::int64_t c = 0; c < chunks; ++c) {
      const float* from = partial(c, token, head);
      const float weight = std::exp(from[0] - largest);
      total += from[1] * weight;
      for (std::int64_t i = 0; i < width_; ++i) {
        output[i] += from[2 + i] * weight;
      }
    }
    write<T>(output, 1 / total, {token, head, 0});
  }

  const lh_call& call_;
  std::int64_t tokens_, heads_, kv_heads_, width_, capacity_, before_;
  float scale_;
};

LAYERHUB_KERNEL(CausalAttentionKernel, layerhub::layers::CausalAttention, "online-softmax");

}  // namespace
