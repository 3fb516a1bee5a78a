// SPDX-License-Identifier: Apache-2.0
// The buffer that a function of the ABI writes its one line of text to.
#pragma once

#include "base/reason.hpp"

#include <layerhub/abi.h>

#include <algorithm>
#include <string>

namespace layerhub::plugin {

struct ErrorText {
  char text[512];
  lh_error error{sizeof error, 0, text, sizeof text, 0};

  ErrorText() = default;
  ErrorText(const ErrorText&) = delete;
  std::string said() const { return printable({text, std::min<std::size_t>(error.length, sizeof text)}, sizeof text); }
};

// "out of memory"; "unknown" for a number that no minor of the ABI has.
constexpr std::string_view status_name(std::int32_t status) {
  constexpr std::string_view names[] = {"ok",          "declined", "invalid",    "out of memory",
                                        "unsupported", "internal", "device lost"};
  return status >= 0 && static_cast<std::size_t>(status) < std::size(names) ? names[status] : "unknown";
}

// What a failure of that status is to a host: `otherwise`, or that memory is exhausted or a device gone.
constexpr ErrorCode error_code(std::int32_t status, ErrorCode otherwise) {
  return status == LH_OUT_OF_MEMORY ? ErrorCode::out_of_memory
         : status == LH_DEVICE_LOST ? ErrorCode::device_lost
                                    : otherwise;
}

}  // namespace layerhub::plugin
