// SPDX-License-Identifier: Apache-2.0
// The signature of a layer: FNV-1a 64 over the names and kinds of its arguments and attributes, in their order.
// Two kernels of one layer name with different signatures are different contracts; the loader never mixes them.
// FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ (64-bit parameters).
#pragma once

#include <layerhub/sdk/layer.hpp>

#include <cstdint>
#include <string_view>

namespace layerhub::sdk {

class Fnv1a {
 public:
  constexpr Fnv1a& add(std::string_view text) {
    for (const char c : text) {
      add_byte(static_cast<std::uint8_t>(c));
    }
    add_byte(0);  // ends the text, so that "ab","c" and "a","bc" differ
    return *this;
  }
  constexpr Fnv1a& add(std::uint32_t number) {
    for (int shift = 0; shift < 32; shift += 8) {
      add_byte(static_cast<std::uint8_t>(number >> shift));
    }
    return *this;
  }
  constexpr std::uint64_t value() const { return value_; }

 private:
  constexpr void add_byte(std::uint8_t byte) {
    value_ ^= byte;
    value_ *= 0x100000001b3ull;
  }
  std::uint64_t value_ = 0xcbf29ce484222325ull;
};

template <class Layer>
consteval std::uint64_t signature_of() {
  Fnv1a hash;
  for (const Argument& argument : Layer::arguments) {
    hash.add(argument.name).add(argument.kind);
  }
  if constexpr (requires { Layer::attributes; }) {
    for (const Attribute& attribute : Layer::attributes) {
      hash.add(attribute.name).add(attribute.kind);
    }
  }
  return hash.value();
}

}  // namespace layerhub::sdk
