// SPDX-License-Identifier: Apache-2.0
// layerhub lock: what a mapping comes to on this machine, pinned. Without a mapping file: what the automatic mapping
// finds. A host that is given the lock (read_mapping) gets exactly that, or an error that names the difference. --hub
// writes the Hub's lock, which pins commits alone, to standard output.
#include "base/reason.hpp"
#include "commands.hpp"

#include <layerhub/mapping.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace layerhub::cli {

int lock(const Options& options) {
  try {
    const Mapping mapping =
        options.mapping.empty() ? automatic_mapping(options.plugins) : read_mapping(options.mapping);
    if (options.hub) {
      fmt::print("{}\n", format_hub_lock(mapping));
      return 0;
    }
    const Mapping locked = lock_mapping(mapping);
    if (locked.empty()) {
      return print_error(make_reason(ErrorCode::not_found, "lock",
                                     "lock: no layer of the mapping can be served on this machine; install plugins, or "
                                     "name their directory with --plugins"),
                         options.json);
    }
    if (options.output.empty()) {
      fmt::print("{}", format_mapping(locked));
    } else {
      write_mapping(locked, options.output);
      fmt::print("{}: locked {}\n", options.output, fmt::join(locked.layers(), ", "));
    }
    return 0;
  } catch (const Error& error) {
    return print_error(error.reason(), options.json);
  }
}

}  // namespace layerhub::cli
