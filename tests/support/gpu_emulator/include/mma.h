// SPDX-License-Identifier: Apache-2.0
// CUDA's matrix products of a warp, nvcuda::wmma, as plain C++: tiles of 16 x 16 x 16 of the 16-bit floats, summed in
// float. A lane holds eight elements that lie behind each other, lane by lane; on a device that order is nobody's
// business, so a kernel that assumed one would fail here or there. What is missing here is not used.
#pragma once

#include <cuda_runtime.h>
#include <layerhub/sdk/dtype.hpp>

#include <cstdint>

struct __half {
  std::uint16_t bits;
};
struct __nv_bfloat16 {
  std::uint16_t bits;
};

namespace nvcuda::wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };

namespace detail {

constexpr int side = 16, lanes_of_a_warp = 32, of_lane = side * side / lanes_of_a_warp;

inline float value_of(__half x) { return layerhub::sdk::to_float(layerhub::sdk::float16{x.bits}); }
inline float value_of(__nv_bfloat16 x) { return layerhub::sdk::to_float(layerhub::sdk::bfloat16{x.bits}); }
inline float value_of(float x) { return x; }

// Runs use(place in memory, element of the lane) for each of the lane's elements, with the whole warp at this place.
template <class T, class Use>
void with_memory(T* memory, unsigned pitch, bool by_rows, layerhub::gpu_emulator::Place place, Use use) {
  layerhub::gpu_emulator::meet(
      0xffffffffu, memory, [](void* const*, unsigned) {}, place);
  if (reinterpret_cast<std::uintptr_t>(memory) % 32 != 0 || pitch * sizeof(T) % 16 != 0) {
    layerhub::gpu_emulator::fail("a matrix is not aligned to 32 bytes, or its pitch to 16", place.file_name(),
                                 place.line());
  }
  for (int i = 0; i < of_lane; ++i) {
    const unsigned element = layerhub::gpu_emulator::lane_index() * of_lane + static_cast<unsigned>(i);
    const unsigned row = element / side, column = element % side;
    use(memory[by_rows ? row * pitch + column : column * pitch + row], i);
  }
}

}  // namespace detail

template <class Use, int m, int n, int k, class T, class Layout = void>
struct fragment {
  static_assert(m == detail::side && n == detail::side && k == detail::side, "the emulated tiles are 16 x 16 x 16");
  float elements[detail::of_lane];
};

template <class Use, class T, class Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout>& to, const T* from, unsigned pitch,
                      std::source_location place = std::source_location::current()) {
  detail::with_memory(const_cast<T*>(from), pitch, std::is_same_v<Layout, row_major>, place,
                      [&](const T& element, int i) { to.elements[i] = detail::value_of(element); });
}

inline void store_matrix_sync(float* to, const fragment<accumulator, 16, 16, 16, float>& from, unsigned pitch,
                              layout_t layout, std::source_location place = std::source_location::current()) {
  detail::with_memory(to, pitch, layout == mem_row_major, place,
                      [&](float& element, int i) { element = from.elements[i]; });
}

inline void fill_fragment(fragment<accumulator, 16, 16, 16, float>& to, float value) {
  for (float& element : to.elements) {
    element = value;
  }
}

// d = a b + c
template <class T, class LayoutA, class LayoutB>
void mma_sync(fragment<accumulator, 16, 16, 16, float>& d, const fragment<matrix_a, 16, 16, 16, T, LayoutA>& a,
              const fragment<matrix_b, 16, 16, 16, T, LayoutB>& b, const fragment<accumulator, 16, 16, 16, float>& c,
              std::source_location place = std::source_location::current()) {
  struct Brought {
    const float *a, *b, *c;
    float sums[detail::of_lane];
  } mine{a.elements, b.elements, c.elements, {}};
  layerhub::gpu_emulator::meet(
      0xffffffffu, &mine,
      [](void* const* brought, unsigned) {
        constexpr int side = detail::side;
        const auto of = [&](int element) -> Brought& {
          return *static_cast<Brought*>(brought[element / detail::of_lane]);
        };
        for (int row = 0; row < side; ++row) {
          for (int column = 0; column < side; ++column) {
            const int at = row * side + column;
            float sum = of(at).c[at % detail::of_lane];
            for (int i = 0; i < side; ++i) {
              const int left = row * side + i, right = i * side + column;
              sum += of(left).a[left % detail::of_lane] * of(right).b[right % detail::of_lane];
            }
            of(at).sums[at % detail::of_lane] = sum;
          }
        }
      },
      place);
  for (int i = 0; i < detail::of_lane; ++i) {
    d.elements[i] = mine.sums[i];
  }
}

}  // namespace nvcuda::wmma
