// SPDX-License-Identifier: Apache-2.0
// out = a b for float matrices of any three dtypes, as the gradients of Linear need it.
//
// Both factors are copied in blocks, as float32 and next to each other: a block of b that columns are cut from would
// otherwise lie in the few cache sets that a power of two between its rows leaves. Within a block a lane is a column of
// b and an element of a is broadcast; 4 rows by 2 vectors of sums stay in registers. Sums run over one block and are
// then added to those of the blocks before, which also keeps the error of long sums small.
//
// Threads share the columns. Each strip of columns is computed the same way whoever does it, so the bits do not depend
// on the number of threads.
#pragma once

#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/tensor.hpp>
#include <layerhub/sdk/vector.hpp>

#include <algorithm>

namespace layerhub::linear {

using namespace layerhub::sdk;

// Matrices are tensors whose leading dimensions are taken as one and whose rows are dense.
class Product {
 public:
  // a_is_transposed: out[i][k] = sum over j of a[j][i] b[j][k], else of a[i][j] b[j][k]. The tensors outlive it.
  Product(const DLTensor& a, bool a_is_transposed, const DLTensor& b, const DLTensor& out)
      : a_(a),
        b_(b),
        out_(out),
        a_is_transposed_(a_is_transposed),
        rows_(row_count(out)),
        columns_(last_dim(out)),
        inner_(row_count(b)) {}

  void run(const lh_host* host) const {
    const std::int64_t least = least_products_per_worker / (rows_ * inner_ + 1) + 1;
    parallel_ranges(host, columns_, least, strip, [&](Range range, std::uint32_t) {
      for (std::int64_t column = range.begin; column < range.end; column += strip) {
        for (std::int64_t row = 0; row < rows_; row += block) {
          run_tile(row, column);
        }
      }
    });
  }

 private:
  static constexpr std::int64_t strip = 32;  // columns of out that are computed together
  static constexpr std::int64_t block = 64;  // rows of out, and products summed, before the next blocks are copied
  static constexpr std::int64_t group = 4;   // rows whose sums are in registers together
  static constexpr std::int64_t least_products_per_worker = 1 << 18;

  struct Blocks {  // 32 KiB: the nearest cache
    float a[block * block];
    float b[block * strip];
    float totals[block * strip];
  };

  // Where a(i, j) stands in a block of a: rows of a are copied as they are.
  std::int64_t step_of_row() const { return a_is_transposed_ ? 1 : block; }
  std::int64_t step_of_inner() const { return a_is_transposed_ ? block : 1; }

  void run_tile(std::int64_t row, std::int64_t column) const {
    alignas(vector_bytes) Blocks blocks = {};
    const std::int64_t rows = std::min(block, rows_ - row);
    const std::int64_t columns = std::min(strip, columns_ - column);
    for (std::int64_t inner = 0; inner < inner_; inner += block) {
      const std::int64_t count = std::min(block, inner_ - inner);
      copy_block(b_, inner, column, count, columns, strip, blocks.b);
      if (a_is_transposed_) {
        copy_block(a_, inner, row, count, rows, block, blocks.a);
      } else {
        copy_block(a_, row, inner, rows, count, block, blocks.a);
      }
      for (std::int64_t r = 0; r < rows; r += group) {
        for (std::int64_t c = 0; c < strip; c += 2 * lanes) {
          add_products(blocks, r, c, count);
        }
      }
    }
    store_totals(blocks, row, column, rows, columns);
  }

  // Copies rows [row, row + rows) and columns [column, column + columns) to rows of `width` floats. What is left of
  // the block is 0, or what an earlier copy left there: both only reach sums that are not stored.
  static void copy_block(const DLTensor& from, std::int64_t row_index, std::int64_t column, std::int64_t rows,
                         std::int64_t columns, std::int64_t width, float* to) {
    visit_float(from.dtype, [&]<class T>() {
      for (std::int64_t r = 0; r < rows; ++r) {
        const T* source = row<const T>(from, row_index + r) + column;
        write(to + r * width, columns, false, [&](std::int64_t i, auto extent) { return load(source + i, extent); });
      }
    });
  }

  // Adds a(r .. r + group, all) b(all, c .. c + 2 vectors) of the blocks to their totals.
  void add_products(Blocks& blocks, std::int64_t r, std::int64_t c, std::int64_t count) const {
    Floats sums[group][2] = {};
    const float* a = blocks.a + r * step_of_row();
    const float* b = blocks.b + c;
    const std::int64_t next_row = step_of_row();
    const std::int64_t next_inner = step_of_inner();
    for (std::int64_t j = 0; j < count; ++j, a += next_inner, b += strip) {
      const Floats first = load(b, Whole{});
      const Floats second = load(b + lanes, Whole{});
      for (int g = 0; g < group; ++g) {
        sums[g][0] += first * a[g * next_row];
        sums[g][1] += second * a[g * next_row];
      }
    }
    for (int g = 0; g < group; ++g) {
      float* total = blocks.totals + (r + g) * strip + c;
      store(total, load(total, Whole{}) + sums[g][0], Whole{});
      store(total + lanes, load(total + lanes, Whole{}) + sums[g][1], Whole{});
    }
  }

  void store_totals(const Blocks& blocks, std::int64_t row_index, std::int64_t column, std::int64_t rows,
                    std::int64_t columns) const {
    visit_float(out_.dtype, [&]<class T>() {
      for (std::int64_t r = 0; r < rows; ++r) {
        const float* total = blocks.totals + r * strip;
        write(row<T>(out_, row_index + r) + column, columns, false,
              [&](std::int64_t i, auto extent) { return load(total + i, extent); });
      }
    });
  }

  const DLTensor& a_;
  const DLTensor& b_;
  const DLTensor& out_;
  bool a_is_transposed_;
  std::int64_t rows_, columns_, inner_;
};

}  // namespace layerhub::linear
