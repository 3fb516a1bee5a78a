// SPDX-License-Identifier: Apache-2.0
// What went wrong, as a value: every refusal of the loader is a Reason; the policy turns it into a fallback (the
// reason is kept for explain()) or into an Error that is thrown on the control path. The call path throws
// only after a kernel reported failure, or where a call's tensors are on several devices or on one that is not there.
#pragma once

#include <layerhub/export.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace layerhub {

// Which kind of thing was refused. Stable: hosts may branch on it, the command line prints it with --json.
enum class ErrorCode : std::uint32_t {
  invalid_argument =
      1,               // a call of this API that can never be right: an unknown device type, both version and revision
  no_mapping,          // the mapping in force has no entry for the layer, device, capability or mode
  not_found,           // a directory, repository, revision or file that is not there
  no_variant,          // the repository is there, none of its variants fits this system
  bad_metadata,        // metadata.json is unreadable, incomplete or contradicts the library
  bad_library,         // the file is not a loadable library: truncated, not ELF, wrong machine, no entry symbol
  abi_mismatch,        // the library speaks another major, or a minor that this host cannot speak
  signature_mismatch,  // arguments, members or attributes of the host's layer and of the kernel differ
  unsupported,         // a mode, dtype, shape or feature that the kernel does not support
  ambiguous,           // two candidates and no rule that chooses
  kernel_failed,       // create() or forward() reported failure; the text is the plugin's
  io_error,            // the operating system refused
  out_of_memory,       // of the host or of a device; what was there before is as it was
  device_lost,         // a fault on a device, which no call on it outlives; other devices go on
};

// The name of a code as it stands in JSON: "no_variant". Never fails.
LAYERHUB_API std::string_view to_string(ErrorCode code) noexcept;

struct Fact {
  std::string name;  // "needs", "has", "path"
  std::string value;
};

// One refusal. `text` is one line of the form "<thing>: <fact>; <remedy>" and is all that most people read.
struct Reason {
  ErrorCode code = ErrorCode::invalid_argument;
  std::string rule;  // the rule that refused, as it is named in explain(): "variant", "abi", "constraint"
  std::string text;
  std::vector<Fact> facts;  // what was compared, for machines
};

// Thrown by register_kernel_mapping, kernelize, the first call of a layer and the like. what() is reason().text.
class LAYERHUB_API Error : public std::runtime_error {
 public:
  explicit Error(Reason reason) : std::runtime_error(reason.text), reason_(std::move(reason)) {}
  ErrorCode code() const noexcept { return reason_.code; }
  const Reason& reason() const noexcept { return reason_; }

 private:
  Reason reason_;
};

}  // namespace layerhub
