// SPDX-License-Identifier: Apache-2.0
// Results too large for the cache are stored past it, by other instructions and from aligned addresses on. The cases of
// every_kernel_test are too small for that; here one large call must give the bits of many small ones.
#include "support/built_plugins.hpp"
#include "support/catch.hpp"
#include "support/kernel_instance.hpp"
#include "support/thread_host.hpp"

#include <layerhub/sdk/call.hpp>
#include <layerhub/sdk/dtype.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <random>

namespace layerhub::testing {
namespace {

constexpr std::int64_t width = 4099;  // odd: each row begins at another offset from alignment
constexpr std::int64_t streamed_bytes = std::int64_t{33} << 20;

// Of the layers whose results kernels stream one of each form, and how many elements of x a row has for one of y.
const std::map<std::string_view, std::int64_t> streamed_layers{
    {"SiluAndMul", 2}, {"MulAndSilu", 2},      {"Gelu", 1},     {"ReLU", 1},
    {"RMSNorm", 1},    {"ResidualRMSNorm", 1}, {"LayerNorm", 1}};

// One NaN for all: which of two an operation gives is the compiler's choice of their order.
void unify_nan(DLDataType dtype, std::vector<std::byte>& bytes) {
  sdk::visit_float(dtype, [&]<class T>() {
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(T)) {
      T value;
      std::memcpy(&value, &bytes[i], sizeof value);
      if (std::isnan(sdk::to_float(value))) std::fill_n(&bytes[i], sizeof value, std::byte{0xff});
    }
  });
}

std::vector<std::byte> some_values(DLDataType dtype, std::int64_t count, std::int64_t first) {
  std::vector<std::byte> bytes;
  sdk::visit_float(dtype, [&]<class T>() {
    bytes.resize(static_cast<std::size_t>(count) * sizeof(T));
    for (std::int64_t i = 0; i < count; ++i) {
      const bool is_nan = (first + i) % 100003 == 0;
      const T value = sdk::from_float<T>(is_nan ? NAN : static_cast<float>((first + i) % 1009) / 100 - 5);
      std::memcpy(bytes.data() + static_cast<std::size_t>(i) * sizeof value, &value, sizeof value);
    }
  });
  return bytes;
}

// A kernel with inputs of so many dense rows. Its outputs are theirs in one piece, by one call or by many.
class ManyRows {
 public:
  ManyRows(const lh_kernel& kernel, DLDataType dtype)
      : kernel_(kernel),
        dtype_(dtype),
        x_width_(width * streamed_layers.at(sdk::view(kernel.layer))),
        rows_(streamed_bytes / bytes_of(width)),
        params_(kernel.n_args),
        instance_(kernel, case_, nullptr) {
    for (std::uint32_t i = 0; i < kernel.n_attrs; ++i) {
      case_.numbers[std::string(sdk::view(kernel.attrs[i].fallback.name))] = kernel.attrs[i].fallback.value.f;
    }
    std::mt19937_64 random(1);
    case_.tensors.resize(kernel.n_args);
    for (std::uint32_t a = 0; a < kernel.n_args; ++a) {
      if (kernel.args[a].kind == LH_ARG_PARAM) {
        case_.tensors[a] = {.present = true, .shape = {width}, .dtype = dtype, .stored_shape = {width}, .strides = {1}};
        params_[a] = std::make_unique<GuardedTensor>(case_.tensors[a], false);
        params_[a]->fill(random, 1);
      } else if (kernel.args[a].kind == LH_ARG_INPUT) {
        inputs_.push_back(some_values(dtype, rows_ * x_width_, a));
      } else if (kernel.args[a].kind == LH_ARG_OUTPUT) {
        ++outputs_;
      }
    }
    REQUIRE(instance_.create(params_, LH_MODE_INFERENCE).kind == Outcome::passed);
  }

  std::vector<std::vector<std::byte>> by_calls_of(std::int64_t rows) const {
    std::vector<std::vector<std::byte>> outputs(
        outputs_, std::vector<std::byte>(static_cast<std::size_t>(rows_ * bytes_of(width))));
    for (std::int64_t first = 0; first < rows_; first += rows) {
      call(first, std::min(rows, rows_ - first), outputs);
    }
    for (std::vector<std::byte>& output : outputs) unify_nan(dtype_, output);
    return outputs;
  }
  std::int64_t rows() const { return rows_; }

 private:
  std::int64_t bytes_of(std::int64_t elements) const { return elements * dtype_.bits / 8; }

  void call(std::int64_t first, std::int64_t rows, std::vector<std::vector<std::byte>>& outputs) const {
    std::int64_t x_shape[] = {rows, x_width_}, x_strides[] = {x_width_, 1};
    std::int64_t y_shape[] = {rows, width}, y_strides[] = {width, 1};
    std::vector<DLTensor> x, y;
    for (const std::vector<std::byte>& input : inputs_) {
      auto* const data = const_cast<std::byte*>(input.data()) + first * bytes_of(x_width_);
      x.push_back({data, {kDLCPU, 0}, 2, dtype_, x_shape, x_strides, 0});
    }
    for (std::vector<std::byte>& output : outputs) {
      y.push_back({output.data() + first * bytes_of(width), {kDLCPU, 0}, 2, dtype_, y_shape, y_strides, 0});
    }
    std::vector<const DLTensor*> in;
    std::vector<DLTensor*> out;
    std::transform(x.begin(), x.end(), std::back_inserter(in), [](const DLTensor& tensor) { return &tensor; });
    std::transform(y.begin(), y.end(), std::back_inserter(out), [](DLTensor& tensor) { return &tensor; });
    for (DLTensor* param : tensors_of(kernel_, params_, {LH_ARG_PARAM})) {
      in.push_back(param);
    }
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

  const lh_kernel& kernel_;
  const DLDataType dtype_;
  const std::int64_t x_width_, rows_;
  KernelCase case_;
  CaseTensors params_;
  Instance instance_;  // goes before the params that it was made from
  std::vector<std::vector<std::byte>> inputs_;
  std::size_t outputs_ = 0;
};

TEST_CASE("a call too large for the cache gives the bits of many small ones") {
  ThreadHost::instance().set_width(3);
  for (const BuiltLibrary& library : open_built_plugins(LAYERHUB_PLUGIN_ROOT)) {
    for (const lh_kernel* kernel : library.kernels) {
      const std::string_view layer = sdk::view(kernel->layer);
      if (!library.missing.empty() || kernel->device_type != kDLCPU || !streamed_layers.contains(layer)) {
        continue;
      }
      for (const DLDataType dtype : {sdk::f32, sdk::bf16}) {
        INFO(library.name << ": " << layer << ", " << text_of(dtype));
        const ManyRows run(*kernel, dtype);
        constexpr std::int64_t few = 64;
        const bool is_same = run.by_calls_of(run.rows()) == run.by_calls_of(few);  // not printed: 33 MiB
        CHECK(is_same);
      }
    }
  }
}

}  // namespace
}  // namespace layerhub::testing
