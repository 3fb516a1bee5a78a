// SPDX-License-Identifier: Apache-2.0
// The Hub's CPU kernels as the other side of a comparison: SiluAndMul and RMSNorm of bfloat16, one thread, called from
// C++ as their own bindings call them, without Python's part. tests/bench/peers compiles it with their sources.
//
// Reads a command a line and answers a line, or "error ...":
//   output SiluAndMul|RMSNorm ROWS WIDTH FILE OUTPUT    writes the output's bytes; FILE: those of the input and then of
//                                                       the weight; WIDTH: that of the output
//   time SiluAndMul|RMSNorm ROWS WIDTH REPEATS          nanoseconds of one call, of the inputs that were given last
// --avx2, else --native: what they have for processors without AVX-512; for SiluAndMul that is PyTorch's own functions.
#include "rmsnorm_avx2.hpp"
#include "rmsnorm_cpu.hpp"
#include "silu_and_mul_cpu.hpp"

#include <chrono>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr float epsilon = 1e-5f;
bool avx2 = false;

torch::Tensor values(std::vector<std::int64_t> shape) {
  return torch::rand(shape).sub_(0.5).to(torch::kBFloat16);
}

// A call of one layer, with its tensors.
struct Layer {
  Layer(const std::string& name, std::int64_t rows, std::int64_t width)
      : is_norm(name == "RMSNorm"),
        x(values({rows, is_norm ? width : 2 * width})),
        weight(values({is_norm ? width : 0})),
        y(torch::empty({rows, width}, torch::kBFloat16)) {
    if (!is_norm && name != "SiluAndMul") {
      throw std::runtime_error("`" + name + "` is no layer of this program");
    }
  }

  void operator()() {
    if (!is_norm) {
      activation_cpu::silu_and_mul(y, x);
    } else if (avx2) {
      rmsnorm_cpu::avx2::rms_norm(y, x, weight, epsilon);
    } else {
      rmsnorm_cpu::rmsnorm(y, x, weight, epsilon);
    }
  }

  bool is_norm;
  torch::Tensor x, weight, y;
};

// The layer of the command before is kept: what is asked for again and again is made once.
Layer& layer_of(std::istream& command) {
  static std::string kept_for;
  static std::unique_ptr<Layer> kept;
  std::string name;
  std::int64_t rows = 0, width = 0;
  command >> name >> rows >> width;
  const std::string asked_for = name + " " + std::to_string(rows) + " " + std::to_string(width);
  if (asked_for != kept_for) {
    kept.reset();
    kept = std::make_unique<Layer>(name, rows, width);
    kept_for = asked_for;
  }
  return *kept;
}

std::string measure(std::istream& command) {
  Layer& layer = layer_of(command);
  std::int64_t repeats = 0;
  command >> repeats;
  layer();
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < repeats; ++i) {
    layer();
  }
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  return std::to_string(took.count() / static_cast<double>(repeats));
}

std::string output(std::istream& command) {
  Layer& layer = layer_of(command);
  std::string from, to;
  command >> from >> to;
  std::ifstream file(from, std::ios::binary);
  for (const torch::Tensor& tensor : {layer.x, layer.weight}) {
    if (!file.read(static_cast<char*>(tensor.data_ptr()), static_cast<std::streamsize>(tensor.nbytes()))) {
      throw std::runtime_error(from + ": it is too short");
    }
  }
  layer();
  std::ofstream written(to, std::ios::binary);
  written.write(static_cast<const char*>(layer.y.data_ptr()), static_cast<std::streamsize>(layer.y.nbytes()));
  if (!written.flush()) {
    throw std::runtime_error(to + ": it cannot be written");
  }
  return "written";
}

}  // namespace

int main(int argc, char** argv) {
  avx2 = argc > 1 && std::string_view(argv[1]) == "--avx2";
  torch::set_num_threads(1);
  const torch::InferenceMode inference;
  for (std::string line, word; std::getline(std::cin, line);) {
    std::istringstream command(line);
    command >> word;
    try {
      std::cout << (word == "time" ? measure(command) : output(command)) << std::endl;
    } catch (const std::exception& error) {
      std::cout << "error " << std::string_view(error.what()).substr(0, std::string_view(error.what()).find('\n'))
                << std::endl;
    }
  }
}
