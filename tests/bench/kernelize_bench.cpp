// SPDX-License-Identifier: Apache-2.0
// What does kernelizing a model of 210 marked layers cost, its plugins being loaded?
// Bar: a tenth of what Python's `kernels` takes for as many, 3.0 ms (PyTorch eager, kernels 0.11, one thread).
//
// RMSNorm and SiluAndMul from layerhub/norm and layerhub/activation. "Again" finds every layer bound
// already, as a change of a mapping for some other layer does; "anew" makes each binding, its instance included.
//
// Python's time is a figure of another day, so the ratio is to a constant: it says the order of magnitude.
// `tests/bench/peers kernelize` measures it beside ours.
#include "bench/support/marked_model.hpp"
#include "bench/support/report.hpp"

namespace {

using namespace layerhub::bench;

constexpr double python_nanoseconds = 3.0e6;

// What a run of `body` takes, `prepare` before each not counted.
template <class Prepare, class Body>
Ratio measure(Report& report, Prepare&& prepare, Body&& body) {
  const auto ours = [&] {
    prepare();
    return nanoseconds_of(body);
  };
  return compare_measured(
             ours, [] { return python_nanoseconds; }, 5 * report.pairs())
      .inverse();
}

}  // namespace

int main(int argc, char** argv) {
  Report report(argc, argv);
  const layerhub::use_kernel_mapping scope(built_plugins());
  MarkedModel model, other;  // the other one keeps the libraries open while the first has no kernels
  const layerhub::KernelizeOptions options{.fallback = layerhub::Fallback::never};
  if (layerhub::kernelize(model, options).kernels() != MarkedModel::layers ||
      layerhub::kernelize(other, options).kernels() != MarkedModel::layers) {
    return 1;
  }
  report.heading("Python's kernels, 3.0 ms as measured once");
  report.add("kernelize 210 layers, again, faster by",
             measure(
                 report, [] {}, [&] { layerhub::kernelize(model, options); }),
             at_least(10));
  report.add("kernelize 210 layers, anew, faster by",
             measure(
                 report, [&] { layerhub::unkernelize(model); }, [&] { layerhub::kernelize(model, options); }),
             at_least(10));
  return 0;
}
