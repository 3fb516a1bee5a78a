// SPDX-License-Identifier: Apache-2.0
// Products of matrices of bfloat16 in tile registers, with numbers as they occur in place of zeros.
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tile_registers.hpp>

#include <array>

namespace {

using namespace layerhub::sdk;

// x is not looked at.
struct MultiplyMatrices {
  static constexpr std::string_view name = "MultiplyMatrices";
  static constexpr std::array arguments{input("x"), output("made")};
  static constexpr std::array constraints{dtype_in("made", f32)};
};

struct MultiplyingMatrices {
  static constexpr std::int64_t rounds = 20'000;  // some hundred microseconds
  static constexpr int sums = 4, products = 16 * 16 * 32;

  static void forward(const lh_call& call) {
    const std::uint32_t workers = worker_count(call.host);
    parallel_for(call.host, workers, [](std::uint32_t, std::uint32_t) { multiply_for_a_while(); });
    *static_cast<float*>(call.out[0]->data) = static_cast<float>(1.0 * rounds * sums * products * workers);
  }

 private:
  // Magnitudes from 1 to 2 of both signs.
  static constexpr auto numbers = [] {
    std::array<std::uint16_t, 4 * 512> all{};
    std::uint32_t state = 1;
    for (std::uint16_t& number : all) {
      state = state * 1664525 + 1013904223;
      number = static_cast<std::uint16_t>(0x3f80 | (state >> 25) | (state >> 24 & 1) << 15);
    }
    return all;
  }();

  static void multiply_for_a_while() {
    TileShapes shapes;
    for (int index = 0; index < 8; ++index) {
      shapes.set(index, 16, 64);
    }
    TileRegisters registers;
    registers.configure(shapes);
    registers.load<4>(&numbers[0], 64);
    registers.load<5>(&numbers[512], 64);
    registers.load<6>(&numbers[1024], 64);
    registers.load<7>(&numbers[1536], 64);
    for (std::int64_t i = 0; i < rounds; ++i) {
      registers.add_bfloat16_products<0, 4, 6>();
      registers.add_bfloat16_products<1, 4, 7>();
      registers.add_bfloat16_products<2, 5, 6>();
      registers.add_bfloat16_products<3, 5, 7>();
    }
  }
};

LAYERHUB_KERNEL(MultiplyingMatrices, MultiplyMatrices, "multiply-matrices");

}  // namespace
