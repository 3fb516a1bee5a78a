// SPDX-License-Identifier: Apache-2.0
#include "support/dense_kernel.hpp"

#include "support/catch.hpp"
#include "support/thread_host.hpp"

#include <layerhub/sdk/call.hpp>

#include <algorithm>
#include <memory>
#include <random>

namespace layerhub::testing {

DenseKernel::DenseKernel(const lh_kernel& kernel, DLDataType dtype, std::int64_t x_width, std::int64_t y_width)
    : kernel_(kernel),
      dtype_(dtype),
      x_width_(x_width),
      y_width_(y_width),
      params_(kernel.n_args),
      instance_(kernel, case_, nullptr) {
  const sdk::Example example = find_known_layer(sdk::view(kernel.layer))->examples().front();
  case_.numbers.insert(example.numbers.begin(), example.numbers.end());
  std::mt19937_64 random(1);
  case_.tensors.resize(kernel.n_args);
  for (std::uint32_t a = 0; a < kernel.n_args; ++a) {
    if (kernel.args[a].kind == LH_ARG_PARAM) {
      case_.tensors[a] = {
          .present = true, .shape = {y_width}, .dtype = dtype, .stored_shape = {y_width}, .strides = {1}};
      params_[a] = std::make_unique<GuardedTensor>(case_.tensors[a], false);
      params_[a]->fill(random, 1);
    }
  }
  REQUIRE(instance_.create(params_, LH_MODE_INFERENCE).kind == Outcome::passed);
}

std::size_t DenseKernel::count_of(std::uint32_t kind) const {
  return static_cast<std::size_t>(
      std::count_if(kernel_.args, kernel_.args + kernel_.n_args, [&](const lh_arg& a) { return a.kind == kind; }));
}

std::vector<double> DenseKernel::param(std::size_t number) const {
  std::vector<std::vector<double>> values;
  for (const auto& param : params_) {
    if (param) values.push_back(param->values());
  }
  return values.at(number);
}

void DenseKernel::operator()(std::int64_t rows, const std::vector<const void*>& inputs,
                             const std::vector<void*>& outputs) const {
  std::int64_t x_shape[] = {rows, x_width_}, x_strides[] = {x_width_, 1};
  std::int64_t y_shape[] = {rows, y_width_}, y_strides[] = {y_width_, 1};
  std::vector<DLTensor> x, y;
  for (const void* input : inputs) {
    x.push_back({const_cast<void*>(input), {kDLCPU, 0}, 2, dtype_, x_shape, x_strides, 0});
  }
  for (void* output : outputs) {
    y.push_back({output, {kDLCPU, 0}, 2, dtype_, y_shape, y_strides, 0});
  }
  std::vector<const DLTensor*> in;
  std::vector<DLTensor*> out;
  for (const DLTensor& tensor : x) in.push_back(&tensor);
  for (DLTensor& tensor : y) out.push_back(&tensor);
  for (DLTensor* param : tensors_of(kernel_, params_, {LH_ARG_PARAM})) in.push_back(param);
  lh_call call{};
  call.struct_size = sizeof call;
  call.mode = LH_MODE_INFERENCE;
  call.host = ThreadHost::instance().host();
  call.in = in.data();
  call.out = out.data();
  call.n_in = static_cast<std::uint16_t>(in.size());
  call.n_out = static_cast<std::uint16_t>(out.size());
  REQUIRE(kernel_.forward(instance_.get(), &call, nullptr) == LH_OK);
}

}  // namespace layerhub::testing
