// SPDX-License-Identifier: Apache-2.0
// A layer of a library that can't be changed: it is called through a wrapper, which runs the plugin's kernel instead.
#include <layerhub/layerhub.hpp>

#include <cmath>
#include <cstdio>

namespace somelib {  // stands for somebody else's code: nothing in it knows of layerhub

struct Matrix {
  float* data;
  std::int64_t shape[2];
};

class RmsNorm {
 public:
  float gain[4] = {1, 1, 2, 2};
  float epsilon = 1e-5f;

  void apply(const Matrix& in, Matrix& out) const {
    for (std::int64_t r = 0; r < in.shape[0]; ++r) {
      const float* x = in.data + r * 4;
      const float mean = (x[0] * x[0] + x[1] * x[1] + x[2] * x[2] + x[3] * x[3]) / 4;
      for (int i = 0; i < 4; ++i) {
        out.data[r * 4 + i] = x[i] / std::sqrt(mean + epsilon) * gain[i];
      }
    }
  }
};

// The one thing that the host adds, where the argument's type will find it.
DLTensor as_dltensor(const Matrix& m) {
  return {m.data, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, const_cast<std::int64_t*>(m.shape), nullptr, 0};
}

}  // namespace somelib

int main(int argc, char** argv) {
  try {
    if (argc > 1) {
      layerhub::set_plugin_roots({argv[1]});
    }
    somelib::RmsNorm theirs;
    std::int64_t width = 4;
    const DLTensor gain{theirs.gain, {kDLCPU, 0}, 1, {kDLFloat, 32, 1}, &width, nullptr, 0};
    const auto norm = layerhub::replace_kernel_forward_from_hub(
        theirs, "RMSNorm", &somelib::RmsNorm::apply,
        layerhub::members(layerhub::param("weight", gain), layerhub::attribute("variance_epsilon", theirs.epsilon)));

    float in[4] = {1, 2, 3, 4}, out[4];
    const somelib::Matrix x{in, {1, 4}};
    somelib::Matrix y{out, {1, 4}};
    layerhub::register_kernel_mapping(
        {{"RMSNorm",
          {{"cpu", layerhub::LayerRepository{.repo_id = "layerhub/norm", .layer_name = "RMSNorm", .version = 1}}}}});
    norm(x, y);
    std::printf("%.4f %.4f %.4f %.4f\n\n%s", out[0], out[1], out[2], out[3], layerhub::explain(norm).c_str());
  } catch (const layerhub::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
