// SPDX-License-Identifier: Apache-2.0
// What a layer lends to a kernel: its weights and attributes, by the names that kernels declare.
//
//   auto hub_members() const {
//     return layerhub::members(layerhub::param("weight", weight), layerhub::attribute("variance_epsilon", epsilon));
//   }
//
// Asked for when a binding is made. The tensor's memory must stay where it is until the layer is rebound or destroyed;
// after a change of its pointer, shape or an attribute call rebind(layer). A kernel that lacks a member it needs is
// refused at bind; members that no kernel asks for are ignored.
#pragma once

#include <layerhub/tensor.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace layerhub {

using AttributeValue = std::variant<bool, std::int64_t, double, std::string>;

struct Member {
  std::string name;
  bool is_param = false;
  DLTensor tensor{};  // of a param; shape and strides are copied below, so that the host may pass temporaries
  std::vector<std::int64_t> shape{}, strides{};
  std::string format{};    // of a param: "" for a plain dtype, or a block format such as "gguf.q4_1"
  AttributeValue value{};  // of an attribute
};

// A weight. With a block format the tensor is uint8 [rows, bytes of one row].
template <TensorLike T>
Member param(std::string_view name, const T& tensor, std::string_view format = {}) {
  Member member{
      .name = std::string(name), .is_param = true, .tensor = as_dltensor(tensor), .format = std::string(format)};
  member.shape.assign(member.tensor.shape, member.tensor.shape + member.tensor.ndim);
  if (member.tensor.strides != nullptr) {
    member.strides.assign(member.tensor.strides, member.tensor.strides + member.tensor.ndim);
  } else {
    member.strides.resize(member.shape.size());
    std::int64_t stride = 1;
    for (std::size_t d = member.shape.size(); d-- > 0; stride *= member.shape[d]) {
      member.strides[d] = stride;
    }
  }
  return member;
}

inline Member attribute(std::string_view name, bool value) { return {.name = std::string(name), .value = value}; }
inline Member attribute(std::string_view name, std::integral auto value) {
  return {.name = std::string(name), .value = static_cast<std::int64_t>(value)};
}
inline Member attribute(std::string_view name, std::floating_point auto value) {
  return {.name = std::string(name), .value = static_cast<double>(value)};
}
inline Member attribute(std::string_view name, std::string_view value) {
  return {.name = std::string(name), .value = std::string(value)};
}
inline Member attribute(std::string_view name, const char* value) { return attribute(name, std::string_view(value)); }

template <class... Members>
std::vector<Member> members(Members&&... list) {
  std::vector<Member> all;
  all.reserve(sizeof...(list));
  (all.push_back(std::forward<Members>(list)), ...);
  return all;
}

}  // namespace layerhub
