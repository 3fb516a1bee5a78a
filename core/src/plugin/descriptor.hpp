// SPDX-License-Identifier: Apache-2.0
// What a library says of itself, copied into the host's own memory and checked on the way.
//
// Every struct is read to the shorter of its size and ours [R1], every text is copied [R4], every index and count is
// bounded before it is followed, so that a plugin of another minor or a broken one gives a Reason and no crash later.
#pragma once

#include "base/result.hpp"
#include "hub/kernel_info.hpp"

#include <layerhub/abi.h>
#include <layerhub/abi/device.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::plugin {

// A kernel as metadata knows it, and what only the library has.
struct Kernel : hub::KernelInfo {
  std::int32_t device_type = 0;
  std::vector<lh_attr> fallbacks;          // per attribute; the name and a text in it are the library's
  std::vector<lh_constraint> constraints;  // dtypes point into the library
  lh_kernel functions{};                   // create ... destroy; its other fields are not to be used
};

struct Descriptor {
  std::string repo, revision, build_id, toolchain;
  std::uint32_t abi_minor = 0;  // negotiated
  std::uint32_t flags = 0;
  std::int32_t (*shutdown)(lh_error*) = nullptr;
  std::vector<Kernel> kernels;           // sorted by layer, then implementation
  const lh_device_1* runtime = nullptr;  // the library's; nullptr: it brings no device runtime
};

// `name` stands for the library in messages. Refused: bad_library.
Result<Descriptor> import_descriptor(const lh_plugin& plugin, std::uint32_t minor, std::string_view name);

std::string_view argument_kind_name(std::uint32_t kind);   // "input", "param", ...
std::string_view attribute_kind_name(std::uint32_t kind);  // "int", "float", ...

}  // namespace layerhub::plugin
