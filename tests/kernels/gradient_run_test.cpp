// SPDX-License-Identifier: Apache-2.0
// The harness for gradients must refuse what it is there to refuse: each kernel here has one defect in its backward and
// must be caught at it; the one without defect must pass.
#include "support/gradient_run.hpp"

#include "support/catch.hpp"

#include <layerhub/layers/activation.hpp>
#include <layerhub/layers/norm.hpp>
#include <layerhub/sdk/cpu.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>

#include <cmath>

namespace layerhub::testing {
namespace {

using namespace layerhub::sdk;

enum class Defect {
  none,
  wrong_sign,
  inexact,
  accumulates,
  unwritten_element,
  write_behind,
  by_worker,
  behind_workspace
};

template <Defect defect>
struct QuickGeluKernel {
  static constexpr std::array constraints{dtype_in("x", f32), last_dim_dense("x")};

  static void infer(InferCall& call) { call.backward_workspace = 64; }
  static void forward(const lh_call&) {}
  static void backward(const lh_call& call) {
    if (call.grad_in[0] == nullptr) {
      return;
    }
    const DLTensor &x = *call.in[0], &grad_x = *call.grad_in[0];
    const std::int64_t width = last_dim(x), count = element_count(x);
    for (std::int64_t i = 0; i < count - (defect == Defect::unwritten_element); ++i) {
      const double v = static_cast<double>(row<const float>(x, i / width)[i % width]);
      const double s = 1 / (1 + std::exp(-1.702 * v));
      const double slope = s + (defect == Defect::wrong_sign ? -1 : 1) * 1.702 * v * s * (1 - s);
      const auto grad =
          static_cast<float>(slope * (defect == Defect::inexact ? 1.001 : 1)) * data<const float>(*call.grad_out[0])[i];
      float& to = data<float>(grad_x)[i];
      to = defect == Defect::accumulates ? to + grad : grad;
    }
    if (defect == Defect::write_behind) data<float>(grad_x)[count] = 0;
    if (defect == Defect::behind_workspace) static_cast<char*>(call.workspace)[64] = 0;
    if (defect == Defect::by_worker && count > 0) {
      data<float>(grad_x)[0] *= 1.f + 1e-6f * static_cast<float>(worker_count(call.host));
    }
  }
};

// Keeps the weight that create() saw: one step of training later it is an old one.
struct StaleScale {
  static constexpr std::array constraints{dtype_in("hidden_states", f32)};
  explicit StaleScale(const CreateArgs& args)
      : weight_(data<float>(*args.param("weight")),
                data<float>(*args.param("weight")) + args.param("weight")->shape[0]),
        epsilon_(args.real("variance_epsilon")) {}
  void update_params(const CreateArgs&) {}
  void forward(const lh_call&) const {}
  void backward(const lh_call& call) const {
    const DLTensor &x = *call.in[0], &g = *call.grad_out[0];
    const std::int64_t width = last_dim(x);
    std::vector<double> grad_weight(weight_.size());
    for (std::int64_t r = 0; r < row_count(x); ++r) {
      const float *from = row<const float>(x, r), *grad = row<const float>(g, r);
      double squares = 0, product = 0;
      for (std::int64_t i = 0; i < width; ++i) {
        squares += static_cast<double>(from[i]) * static_cast<double>(from[i]);
        product += static_cast<double>(from[i] * grad[i] * weight_[static_cast<std::size_t>(i)]);
      }
      const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + epsilon_);
      for (std::int64_t i = 0; i < width; ++i) {
        const auto column = static_cast<std::size_t>(i);
        const auto v = static_cast<double>(from[i]);
        grad_weight[column] += v * static_cast<double>(grad[i]) * scale;
        if (call.grad_in[0] != nullptr) {
          row<float>(*call.grad_in[0], r)[i] =
              static_cast<float>(scale * (static_cast<double>(weight_[column] * grad[i]) -
                                          v * scale * scale * product / static_cast<double>(width)));
        }
      }
    }
    for (std::size_t i = 0; call.grad_in[1] != nullptr && i < grad_weight.size(); ++i) {
      data<float>(*call.grad_in[1])[i] = static_cast<float>(grad_weight[i]);
    }
  }

 private:
  std::vector<float> weight_;
  double epsilon_;
};

template <class Kernel, class Layer>
int failures(std::string* complaint = nullptr) {
  static constexpr lh_kernel kernel = sdk::detail::describe<Kernel, Layer>("test", kDLCPU);
  const KnownLayer& layer = *find_known_layer(Layer::name);
  int failed = 0;
  for (const KernelCase& made : gradient_cases_for(kernel, layer)) {
    const Outcome outcome = run_backward_case(kernel, layer, made);
    if (outcome.kind == Outcome::failed) {
      ++failed;
      if (complaint != nullptr) *complaint = outcome.complaint;
    }
  }
  return failed;
}

template <Defect defect>
int failures_with(std::string* complaint = nullptr) {
  return failures<QuickGeluKernel<defect>, layers::QuickGELU>(complaint);
}

TEST_CASE("a backward without defect passes every case") { CHECK(failures_with<Defect::none>() == 0); }

TEST_CASE("a derivative with one wrong sign, or a thousandth too large, is found") {
  std::string complaint;
  CHECK(failures_with<Defect::wrong_sign>(&complaint) > 0);
  CHECK(complaint.find("the gradient of x[") != std::string::npos);
  CHECK(failures_with<Defect::inexact>() > 0);
}

TEST_CASE("a gradient that is added to what was there, or left out, is found") {
  CHECK(failures_with<Defect::accumulates>() > 0);
  CHECK(failures_with<Defect::unwritten_element>() > 0);
}

TEST_CASE("a write behind a gradient or behind the workspace is found") {
  CHECK(failures_with<Defect::write_behind>() > 0);
  CHECK(failures_with<Defect::behind_workspace>() > 0);
}

TEST_CASE("a gradient that depends on the number of threads breaks the deterministic trait") {
  std::string complaint;
  CHECK(failures_with<Defect::by_worker>(&complaint) > 0);
  CHECK(complaint.find("other bits than one") != std::string::npos);
}

TEST_CASE("a kernel that keeps the weights of the step before is found") {
  CHECK(failures<StaleScale, layers::RMSNorm>() > 0);
}

}  // namespace
}  // namespace layerhub::testing
