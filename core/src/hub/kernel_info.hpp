// SPDX-License-Identifier: Apache-2.0
// What is known of a kernel without opening its library, and what the library must then say as well.
#pragma once

#include <layerhub/abi.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace layerhub::hub {

struct Argument {
  std::string name;
  std::uint32_t kind = 0;  // LH_ARG_INPUT, ...
  bool optional = false;
  std::vector<std::string> formats;  // block formats that a param may have
  bool operator==(const Argument&) const = default;
};

struct Attribute {
  std::string name;
  std::uint32_t kind = 0;  // LH_ATTR_INT, ...
  bool required = true;
  bool operator==(const Attribute&) const = default;
};

struct KernelInfo {
  std::string layer, implementation;
  std::string device;                                    // "cpu"
  std::uint32_t kind = LH_KERNEL_LAYER;                  // or LH_KERNEL_FUNCTION
  std::uint32_t min_capability = 0, max_capability = 0;  // inclusive; max 0: unbounded
  std::vector<std::string> features;
  std::uint32_t traits = 0;   // LH_TRAIT_...
  bool has_backward = false;  // supports training
  std::uint64_t signature = 0;
  std::vector<Argument> arguments;
  std::vector<Attribute> attributes;

  bool can_capture() const { return (traits & LH_TRAIT_CAPTURE_SAFE) != 0; }
  bool is_deterministic() const { return (traits & LH_TRAIT_DETERMINISTIC) != 0; }
  std::uint32_t count(std::uint32_t argument_kind) const {
    return static_cast<std::uint32_t>(
        std::count_if(arguments.begin(), arguments.end(), [&](const Argument& a) { return a.kind == argument_kind; }));
  }
  bool operator==(const KernelInfo&) const = default;
};

}  // namespace layerhub::hub
