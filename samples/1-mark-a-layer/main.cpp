// SPDX-License-Identifier: Apache-2.0
// The smallest host: a tensor, a marked layer with a forward of its own, a mapping, a scope.
#include <layerhub/layerhub.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

struct Tensor {
  std::vector<float> values;
  std::vector<std::int64_t> shape;
};

DLTensor as_dltensor(const Tensor& t) {
  return {const_cast<float*>(t.values.data()),
          {kDLCPU, 0},
          static_cast<int>(t.shape.size()),
          {kDLFloat, 32, 1},
          const_cast<std::int64_t*>(t.shape.data()),
          nullptr,
          0};
}

struct SiluAndMul : layerhub::use_kernel_forward_from_hub<SiluAndMul, "SiluAndMul"> {
  void forward(const Tensor& x, Tensor& y) const {  // x is [rows, 2 d], y is [rows, d]
    const std::size_t rows = static_cast<std::size_t>(y.shape[0]), d = static_cast<std::size_t>(y.shape[1]);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < d; ++i) {
        const float gate = x.values[r * 2 * d + i], up = x.values[r * 2 * d + d + i];
        y.values[r * d + i] = gate / (1 + std::exp(-gate)) * up;
      }
    }
  }
};

int main(int argc, char** argv) {
  try {
    if (argc > 1) {
      layerhub::set_plugin_roots({argv[1]});
    }
    const layerhub::Mapping mapping{
        {"SiluAndMul",
         {{"cpu",
           layerhub::LayerRepository{.repo_id = "layerhub/activation", .layer_name = "SiluAndMul", .version = 1}}}}};
    SiluAndMul silu_and_mul;
    Tensor x{{1, 2, 3, 4}, {1, 4}}, y{{0, 0}, {1, 2}};
    silu_and_mul(x, y);
    std::printf("own forward: %.4f %.4f\n", y.values[0], y.values[1]);
    layerhub::use_kernel_mapping scope(mapping);  // until the end of this block
    silu_and_mul(x, y);
    std::printf("from the plugin: %.4f %.4f\n\n%s", y.values[0], y.values[1], layerhub::explain(silu_and_mul).c_str());
  } catch (const layerhub::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
