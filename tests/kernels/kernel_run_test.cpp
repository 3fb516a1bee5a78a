// SPDX-License-Identifier: Apache-2.0
// A harness that has never refused anything proves nothing. Each kernel here has one defect and must be
// caught at it; the one without defect must pass, also with bounds that a correct kernel just keeps.
#include "support/kernel_run.hpp"

#include "support/catch.hpp"

#include <layerhub/abi/parallel.h>
#include <layerhub/layers/activation.hpp>
#include <layerhub/sdk/kernel.hpp>
#include <layerhub/sdk/tensor.hpp>

#include <set>

namespace layerhub::testing {
namespace {

using namespace layerhub::sdk;

enum class Defect {
  none,
  wrong_value,
  unwritten_element,
  write_behind,
  write_between_rows,
  write_to_input,
  dense_only,
  loses_nan,
  by_worker,
  inexact
};

template <Defect defect>
struct ReluKernel {
  static constexpr std::array constraints{dtype_in("x", f32), last_dim_dense("x"), last_dim_dense("y")};
  static constexpr std::array tolerances{Tolerance{f32, 1e-4, 0}};

  static void forward(const lh_call& call) {
    const DLTensor& x = *call.in[0];
    const DLTensor& y = *call.out[0];
    const std::int64_t width = last_dim(x);
    for (std::int64_t r = 0; r < row_count(x); ++r) {
      float* from = defect == Defect::dense_only ? data<float>(x) + r * width : row<float>(x, r);
      float* to = row<float>(y, r);
      const std::int64_t end = defect == Defect::unwritten_element && r + 1 == row_count(x) ? width - 1 : width;
      for (std::int64_t i = 0; i < end; ++i) {
        const bool is_kept = defect == Defect::loses_nan ? from[i] > 0 : !(from[i] <= 0);
        to[i] = is_kept ? from[i] * (defect == Defect::inexact ? 1.001f : 1.f) : 0.f;
      }
      if (defect == Defect::wrong_value) to[0] += 1;
      if (defect == Defect::write_behind && r + 1 == row_count(x)) to[width] = 0;
      if (defect == Defect::write_between_rows && row<float>(y, 1) > to + width) to[width] = 0;
      if (defect == Defect::write_to_input) from[0] = 0;
    }
    if (defect == Defect::by_worker && element_count(y) > 0) {
      const auto* parallel = static_cast<const lh_parallel_1*>(call.host->get_extension(call.host, LH_PARALLEL_1_ID));
      data<float>(y)[0] *= 1.f + 1e-6f * static_cast<float>(parallel->width(call.host));
    }
  }
};

// How many of the kernel's cases failed, and the distinct complaints without their numbers.
template <Defect defect>
int failures(std::string* complaint = nullptr) {
  static constexpr lh_kernel kernel = sdk::detail::describe<ReluKernel<defect>, layers::ReLU>("test", kDLCPU);
  const KnownLayer& layer = *find_known_layer("ReLU");
  int failed = 0;
  for (const KernelCase& made : cases_for(kernel, layer)) {
    const Outcome outcome = run_case(kernel, layer, made);
    if (outcome.kind == Outcome::failed) {
      ++failed;
      if (complaint != nullptr) *complaint = outcome.complaint;
    }
  }
  return failed;
}

TEST_CASE("a kernel without defect passes every case") { CHECK(failures<Defect::none>() == 0); }

TEST_CASE("one wrong element is found and named with what was wanted") {
  std::string complaint;
  CHECK(failures<Defect::wrong_value>(&complaint) > 0);
  CHECK(complaint.find("want") != std::string::npos);
}

TEST_CASE("an element that was never written is found") { CHECK(failures<Defect::unwritten_element>() > 0); }

TEST_CASE("one write behind the output is found") {
  std::string complaint;
  CHECK(failures<Defect::write_behind>(&complaint) > 0);
  CHECK(complaint.find("is no element") != std::string::npos);
}

TEST_CASE("a write between two padded rows is found") { CHECK(failures<Defect::write_between_rows>() > 0); }

TEST_CASE("a write to an input is found") { CHECK(failures<Defect::write_to_input>() > 0); }

TEST_CASE("a kernel that declares strided rows and reads dense ones is found") {
  CHECK(failures<Defect::dense_only>() > 0);
}

TEST_CASE("a NaN that is made a number is found") { CHECK(failures<Defect::loses_nan>() > 0); }

TEST_CASE("a result that depends on the number of threads breaks the deterministic trait") {
  std::string complaint;
  CHECK(failures<Defect::by_worker>(&complaint) > 0);
  CHECK(complaint.find("other bits than one") != std::string::npos);
}

TEST_CASE("an error of ten times the tolerance is found") { CHECK(failures<Defect::inexact>() > 0); }

struct Failing {
  static constexpr std::array constraints{dtype_in("x", f32)};
  static void forward(const lh_call&) { throw Failure(LH_UNSUPPORTED, "not on this day"); }
};
struct Declining {
  static constexpr std::array constraints{dtype_in("x", f32)};
  static std::int32_t forward(const lh_call&) { return LH_DECLINED; }
};
struct DecliningTooLate {
  static constexpr std::array constraints{dtype_in("x", f32)};
  static std::int32_t forward(const lh_call& call) {
    data<float>(*call.in[0])[-1] = 1;
    return LH_DECLINED;
  }
};

template <class Kernel>
Outcome outcome_of_first_case() {
  static constexpr lh_kernel kernel = sdk::detail::describe<Kernel, layers::ReLU>("test", kDLCPU);
  const KnownLayer& layer = *find_known_layer("ReLU");
  return run_case(kernel, layer, cases_for(kernel, layer).front());
}

TEST_CASE("a kernel's failure is a failed case with its text") {
  const Outcome outcome = outcome_of_first_case<Failing>();
  CHECK(outcome.kind == Outcome::failed);
  CHECK(outcome.complaint.find("not on this day") != std::string::npos);
}

TEST_CASE("a kernel that declines has not failed, unless it wrote something") {
  CHECK(outcome_of_first_case<Declining>().kind == Outcome::declined);
  CHECK(outcome_of_first_case<DecliningTooLate>().kind == Outcome::failed);
}

TEST_CASE("cases hold a kernel to each thing that it declares") {
  static constexpr lh_kernel kernel = sdk::detail::describe<ReluKernel<Defect::none>, layers::ReLU>("test", kDLCPU);
  std::set<std::size_t> ranks;
  bool padded = false, odd = false, no_row = false, one_row = false, has_nan = false;
  for (const KernelCase& made : cases_for(kernel, *find_known_layer("ReLU"))) {
    const TensorPlan& x = made.tensors[0];
    ranks.insert(x.shape.size());
    padded |= x.shape.size() == 2 && x.strides[0] > x.shape[1];
    odd |= x.byte_offset % 64 != 0;
    no_row |= x.shape[0] == 0;
    one_row |= x.shape.size() == 2 && x.shape[0] == 1;
    has_nan |= made.has_nan;
    CHECK(x.strides.back() == 1);  // a stride of its own in the last dimension is not declared
  }
  CHECK(ranks == std::set<std::size_t>{1, 2, 3, 4});
  CHECK((padded && odd && no_row && one_row && has_nan));
}

}  // namespace
}  // namespace layerhub::testing
