// SPDX-License-Identifier: Apache-2.0
// What does kernelizing a model of 210 marked layers cost, its plugins being loaded?
// Bar: a tenth of what Python's `kernels` takes for as many, 3.0 ms (PyTorch eager, kernels 0.11, one thread).
//
// 30 blocks of 4 RMSNorm and 3 SiluAndMul from layerhub/norm and layerhub/activation. "Again" finds every layer bound
// already, as a change of a mapping for some other layer does; "anew" makes each binding, its instance included.
//
//   kernelize_bench [--json]
#include "bench/pairs.hpp"

#include <layerhub/layerhub.hpp>

#include <array>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

constexpr double python_milliseconds = 3.0;
constexpr int rounds = 101;

struct SiluAndMul : layerhub::use_kernel_forward_from_hub<SiluAndMul, "SiluAndMul"> {
  void forward(const DLTensor&, DLTensor&) const { std::abort(); }
};
struct RMSNorm : layerhub::use_kernel_forward_from_hub<RMSNorm, "RMSNorm"> {
  std::vector<float> values = std::vector<float>(576, 1.f);
  std::int64_t shape[1] = {576};
  auto hub_members() const {
    const DLTensor weight{const_cast<float*>(values.data()), {kDLCPU, 0}, 1, {kDLFloat, 32, 1},
                          const_cast<std::int64_t*>(shape),  nullptr,     0};
    return layerhub::members(layerhub::param("weight", weight), layerhub::attribute("variance_epsilon", 1e-5));
  }
  void forward(const DLTensor&, DLTensor&) const { std::abort(); }
};

struct Block {
  std::array<RMSNorm, 4> norms;
  std::array<SiluAndMul, 3> activations;
};
struct Model {
  std::vector<Block> blocks = std::vector<Block>(30);
  void visit_layers(auto&& visit) {
    for (Block& block : blocks) {
      for (RMSNorm& norm : block.norms) visit(norm);
      for (SiluAndMul& activation : block.activations) visit(activation);
    }
  }
};

struct Row {
  const char* name;
  double median, p25, p75;  // milliseconds
};

template <class Prepare, class Body>
Row measure(const char* name, Prepare&& prepare, Body&& body) {
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    prepare();
    times.push_back(layerhub::bench::nanoseconds_of(body) * 1e-6);
  }
  using layerhub::bench::quantile;
  return {name, quantile(times, 0.5), quantile(times, 0.25), quantile(times, 0.75)};
}

}  // namespace

int main(int argc, char** argv) {
  layerhub::set_plugin_roots({LAYERHUB_PLUGIN_ROOT});
  const layerhub::use_kernel_mapping scope(
      {{"SiluAndMul", {{"cpu", layerhub::LayerRepository{"layerhub/activation", "SiluAndMul", "v1"}}}},
       {"RMSNorm", {{"cpu", layerhub::LayerRepository{"layerhub/norm", "RMSNorm", "v1"}}}}});
  Model model, other;  // the other one keeps the libraries open while the first has no kernels
  const layerhub::KernelizeOptions options{.fallback = layerhub::Fallback::never};
  if (layerhub::kernelize(model, options).kernels() != 210 || layerhub::kernelize(other, options).kernels() != 210) {
    return 1;
  }
  const Row rows[] = {
      measure(
          "kernelize 210 layers, again", [] {}, [&] { layerhub::kernelize(model, options); }),
      measure(
          "kernelize 210 layers, anew", [&] { layerhub::unkernelize(model); },
          [&] { layerhub::kernelize(model, options); }),
  };
  const double bar = python_milliseconds / 10;
  const bool json = argc > 1 && std::string_view(argv[1]) == "--json";
  for (const Row& row : rows) {
    const char* verdict = row.p75 <= bar ? "holds" : "does not hold";
    if (json) {
      fmt::print(
          "{{\"bench\": \"kernelize\", \"name\": \"{}\", \"ms\": {:.4f}, \"p25\": {:.4f}, \"p75\": {:.4f}, "
          "\"goal\": {:.2f}, \"met\": {}}}\n",
          row.name, row.median, row.p25, row.p75, bar, row.p75 <= bar);
    } else {
      fmt::print("{:<30} {:.3f} ms  (p25 {:.3f}, p75 {:.3f})  at most {:.2f} ms: {}; Python's 3.0 ms are {:.0f}x\n",
                 row.name, row.median, row.p25, row.p75, bar, verdict, python_milliseconds / row.median);
    }
  }
  return 0;
}
