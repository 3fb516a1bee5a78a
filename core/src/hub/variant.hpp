// SPDX-License-Identifier: Apache-2.0
// The names of folders below build/: for which framework, backend, processor and system a build is.
//
// The Hub's grammar:  torch<DD>[-cxx11|-cxx98]-<backend>-<cpu>-<os>    torch-stable-abi<DD>-<backend>-<cpu>-<os>
//                     tvm-ffi<DD>-<backend>-<cpu>-<os>
//                     torch-<backend> and torch-universal (no machine code)
// Our tag, same shape: layerhub<ABI major>-<backend>-<cpu>-<os>
// backend: cpu metal neuron tpu, or cu rocm xpu cann opencl with a version whose last digit is the minor: cu128 is
// 12.8.
//
// A repository may hold builds for other frameworks; they are refused with a reason, never an error.
#pragma once

#include "hub/system_facts.hpp"

#include "base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace layerhub::hub {

struct Framework {
  enum class Kind : std::uint8_t { layerhub, torch, torch_stable_abi, torch_noarch, tvm_ffi };
  Kind kind = Kind::layerhub;
  std::string version;  // as written: "1", "210", "01"; empty for torch_noarch
  std::string cxx_abi;  // "cxx11", "cxx98" or empty; only of torch
  bool operator==(const Framework&) const = default;
};

struct Backend {
  std::string name;                       // "cpu", "cu", "rocm", "xpu", "cann", "opencl", "metal", ..., "universal"
  std::optional<BackendVersion> version;  // of those that have one
  bool operator==(const Backend&) const = default;
};

struct Variant {
  Framework framework;
  Backend backend;
  std::string cpu, os;  // empty for torch_noarch
  bool operator==(const Variant&) const = default;
};

// Refused with what is wrong with the name; the code is no_variant.
Result<Variant> parse_variant(std::string_view name);
std::string to_string(const Variant& variant);  // parse_variant(to_string(v)) is v

// Why this system can't use the variant for devices of the type ("cpu", "cuda", ...), in the Hub's words; nothing:
// it can.
std::optional<std::string> misfit(const Variant& variant, const SystemFacts& facts, std::string_view device_type);

// Whether a is to be preferred to b; a total order of variants that fit: the newer backend version first, then the
// name.
bool preferred(const Variant& a, const Variant& b);

struct VariantVerdict {
  std::string name;
  std::optional<Variant> variant;  // nothing: the name is none
  std::string reason;              // why it does not fit; empty: it does
};

// Every folder's verdict, in the order of preference and then of names; the first without a reason is to be used.
std::vector<VariantVerdict> judge_variants(const std::vector<std::string>& names, const SystemFacts& facts,
                                           std::string_view device_type);

// One line each, sorted by name: "`x` compatible, preferred", "`y` compatible", "`z`: CPU (aarch64) does not match
// ...".
std::vector<std::string> trace_lines(const std::vector<VariantVerdict>& verdicts);

}  // namespace layerhub::hub
