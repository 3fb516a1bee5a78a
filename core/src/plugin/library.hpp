// SPDX-License-Identifier: Apache-2.0
// Opens a shared library whose bytes have been looked at first, and asks it for its description.
#pragma once

#include "base/os.hpp"
#include "base/result.hpp"
#include "plugin/descriptor.hpp"

#include <boost/dll/shared_library.hpp>
#include <boost/filesystem/path.hpp>

namespace layerhub::plugin {

// The newest and the oldest minor of the ABI that this host speaks.
inline constexpr std::uint32_t newest_minor = LH_ABI_MINOR, oldest_minor = 0;

struct Library {
  boost::filesystem::path path;
  FileIdentity identity;
  boost::dll::shared_library handle;  // open as long as this lives, but for libraries that stay resident
  Descriptor descriptor;
};

// What can be known of a file without running any of its code: that the system's loader may touch it, and what it
// exports. A file that passed is remembered with its identity (base/saved_answers.hpp) and not read again while it has
// that; one that did not is read each time.
// Refused: not_found, io_error, bad_library, abi_mismatch.
struct Inspected {
  boost::filesystem::path path;  // canonical
  FileIdentity identity;         // as it was before it was read
};
Result<Inspected> inspect_library(const boost::filesystem::path& file);

// In this order, and the first that refuses ends it: Boost.DLL opens the file by its absolute path with all symbols
// bound and none shared, it must still be the one that was inspected, the query is asked, the minor negotiated, the
// description imported.
// Refused: io_error, bad_library, abi_mismatch.
Result<Library> open_library(const Inspected& inspected);

}  // namespace layerhub::plugin
