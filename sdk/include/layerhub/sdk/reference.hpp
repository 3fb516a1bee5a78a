// SPDX-License-Identifier: Apache-2.0
// What a layer's reference computes on: dense tensors in double precision, attributes and scalars, all by name.
//
// A reference is the slow and obvious program that a kernel is held to. It sees logical values: a
// block-quantized weight or a bfloat16 input has been converted exactly to double before. It writes outputs
// and updates states in place.
//
//   static void reference(ReferenceCall& call) {
//     const RealTensor& x = call.tensor("x");
//     RealTensor& y = call.tensor("y");
//     ...
//   }
//
// Test inputs are made from a layer's constraints. A layer whose shapes, scalars or attributes must fit
// together in ways that constraints can't say (a cache and how much of it is used) also has `static
// std::vector<Example> examples()`.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::sdk {

struct RealTensor {
  std::vector<std::int64_t> shape;
  std::vector<double> values;  // dense, row-major

  std::int64_t last_dim() const { return shape.back(); }
  std::int64_t row_count() const { return last_dim() == 0 ? 0 : static_cast<std::int64_t>(values.size()) / last_dim(); }
  double* row(std::int64_t index) { return values.data() + index * last_dim(); }
  const double* row(std::int64_t index) const { return values.data() + index * last_dim(); }
};

// One set of shapes and numbers that fit together. The test makes the values: normal ones with this deviation.
struct Example {
  // Of arguments by name, logical ones for a block format. What is not named follows from the constraints.
  std::map<std::string, std::vector<std::int64_t>, std::less<>> shapes;
  std::map<std::string, double, std::less<>> numbers;     // scalars and numeric attributes; else 0 and the fallback
  std::map<std::string, std::string, std::less<>> texts;  // string attributes; else the fallback
  double deviation = 1;
  double outliers = 0;  // the share of the inputs' elements that are 16 times as large, as models have them
};

class ReferenceCall {
 private:
  template <class Map>
  static auto find(Map& map, std::string_view name) -> decltype((map.begin()->second)) {
    const auto found = map.find(name);
    if (found == map.end()) {
      throw std::out_of_range("the reference asks for `" + std::string(name) + "`, which the layer does not have");
    }
    return found->second;
  }

 public:
  // Inputs, params, outputs (zeroed) and states; absent optional ones are not there.
  std::map<std::string, RealTensor, std::less<>> tensors;
  std::map<std::string, double, std::less<>> numbers;     // scalars and numeric attributes; a bool is 0 or 1
  std::map<std::string, std::string, std::less<>> texts;  // string attributes

  bool has(std::string_view name) const { return tensors.contains(name); }
  // Throws std::out_of_range for a name that is not there: the reference and the layer's arguments disagree.
  RealTensor& tensor(std::string_view name) { return find(tensors, name); }
  double number(std::string_view name) const { return find(numbers, name); }
  std::int64_t integer(std::string_view name) const { return static_cast<std::int64_t>(find(numbers, name)); }
  bool flag(std::string_view name) const { return find(numbers, name) != 0; }
  const std::string& text(std::string_view name) const { return find(texts, name); }
};

}  // namespace layerhub::sdk
