// SPDX-License-Identifier: Apache-2.0
// A plugin directory of a test's own, filled with fakes, and the smallest host: a tensor and a layer.
//
//   TestEnvironment env;
//   env.add("twice");                                        // fakes/twice@v1
//   env.add("twice", [](Json& m) { m["layerhub"]["repo"] = "other/name"; });
//   layerhub::set_plugin_roots({env.root()});
#pragma once

#include "support/temporary_folder.hpp"

#include <layerhub/layerhub.hpp>

#include <boost/filesystem/path.hpp>
#include <nlohmann/json.hpp>

#include <functional>
#include <string>
#include <vector>

namespace layerhub::testing {

using Json = nlohmann::json;

class TestEnvironment {
 public:
  TestEnvironment();   // a fresh directory, and the process' explicit plugin root
  ~TestEnvironment();  // gone, and no process-wide mapping is left

  std::string root() const { return root_.path().string(); }

  // Lays the fake of tests/support/fakes.cmake out under its repository and revision, its metadata changed by `edit`
  // first. Returns the variant's folder. A fake without a query of its own gets the metadata of `twice`.
  boost::filesystem::path add(const std::string& fake, const std::function<void(Json&)>& edit = {});

  // The folder of a repository and revision that was added.
  boost::filesystem::path folder(const std::string& repo, const std::string& revision = "v1",
                                 const std::string& backend = "cpu") const;

 private:
  TemporaryFolder root_;
};

// The path of a fake's library, as it was built.
boost::filesystem::path fake_library(const std::string& fake);

struct Tensor {
  std::vector<float> values;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides{};  // empty: dense

  explicit Tensor(std::vector<float> list) : values(std::move(list)), shape{static_cast<std::int64_t>(values.size())} {}
  Tensor(std::vector<float> list, std::vector<std::int64_t> dims) : values(std::move(list)), shape(std::move(dims)) {}
};

inline DLTensor as_dltensor(const Tensor& t) {
  return {const_cast<float*>(t.values.data()),
          {kDLCPU, 0},
          static_cast<std::int32_t>(t.shape.size()),
          {kDLFloat, 32, 1},
          const_cast<std::int64_t*>(t.shape.data()),
          t.strides.empty() ? nullptr : const_cast<std::int64_t*>(t.strides.data()),
          0};
}

// y = 1000 + x, so that nobody takes it for a kernel's.
struct Scale : use_kernel_forward_from_hub<Scale, "Scale"> {
  void forward(const Tensor& x, Tensor& y) const {
    for (std::size_t i = 0; i < y.values.size(); ++i) {
      y.values[i] = 1000 + x.values[i];
    }
  }
};

// What the layer gives for 1, 2, 3.
template <class Layer>
std::vector<float> outputs(const Layer& layer) {
  const Tensor x({1, 2, 3});
  Tensor y({0, 0, 0});
  layer(x, y);
  return y.values;
}

inline const std::vector<float> own_outputs{1001, 1002, 1003};

// Scale from fakes/<name>@v1 on the cpu.
Mapping scale_from(const std::string& repo, const std::string& revision = "v1");

// The message of the layerhub::Error that `run` throws, with its facts; "no error" where none is thrown.
std::string error_of(const std::function<void()>& run);

}  // namespace layerhub::testing
