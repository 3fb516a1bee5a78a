// SPDX-License-Identifier: Apache-2.0
// The seam to the operating system: files, their identity, the environment, the user's folders. Everything above asks
// here, so that limits and the rule for privileged processes stand in one place, and so that tests can make the n-th
// call fail. All failures are Results that name the act and the object: "cannot open /x/metadata.json: ...".
//
// A privileged process (set-user-id, file capabilities) must not take orders from whoever started it: for it the
// environment is empty here, and with it LAYERHUB_PATH and the rest.
// Every function may be called from any thread, but for replace_system_calls, which is for tests.
#pragma once

#include "base/result.hpp"

#include <boost/filesystem/path.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

struct stat;

namespace layerhub {

// Which bytes a name stands for. Two equal identities mean: the same file, not rewritten in between.
struct FileIdentity {
  std::uint64_t size = 0;     // bytes
  std::int64_t mtime_ns = 0;  // since 1970
  std::int64_t ctime_ns = 0;  // catches a rewrite that sets mtime back
  std::uint64_t inode = 0;
  std::uint64_t device = 0;
  bool operator==(const FileIdentity&) const = default;
};

// The whole of a regular file. Refused: longer than `limit` bytes (also when it grows while being read), a folder, a
// pipe or a device. The code is not_found where there is nothing of that name, else io_error.
Result<std::string> read_file(const boost::filesystem::path& file, std::size_t limit);

// The same of a file that nobody but this user can have written. Refused: another user's, one that others may write.
Result<std::string> read_own_file(const boost::filesystem::path& file, std::size_t limit);

// The whole of a file or nothing: the bytes go to a file beside it, are synced, and take its name by a rename. Refused:
// io_error; then the old file is as it was and nothing is left beside it. A cache's file is this user's alone and not
// synced: the machine's crash may leave it without its bytes.
enum class FileKind : std::uint8_t { document, cache };
Result<void> write_file(const boost::filesystem::path& file, std::string_view bytes,
                        FileKind kind = FileKind::document);

// Follows symbolic links: the identity is that of the bytes that an open would read.
Result<FileIdentity> file_identity(const boost::filesystem::path& file);
Result<FileIdentity> file_identity(int descriptor);
std::optional<FileIdentity> find_identity(const boost::filesystem::path& file);  // nothing: there is none

// Whether the process was started with more rights than whoever started it has.
bool is_privileged() noexcept;

// The variable's value; nothing where it is unset, and nothing at all in a privileged process.
std::optional<std::string> secure_environment(const char* name);

// $XDG_DATA_HOME or ~/.local/share; $XDG_CACHE_HOME or ~/.cache. Neither is created. The home folder is $HOME, or
// the password database's where that is unset (services, privileged processes).
Result<boost::filesystem::path> user_data_folder();
Result<boost::filesystem::path> user_cache_folder();

// $LAYERHUB_CACHE, or "layerhub" in the user's cache folder.
Result<boost::filesystem::path> cache_folder();

// The folder of the running program, symbolic links resolved.
Result<boost::filesystem::path> executable_folder();

// The calls behind this file. Tests copy system_calls(), change one member and install the copy.
struct SystemCalls {
  int (*open_to_read)(const char* path);  // a descriptor, or -1 and errno
  ssize_t (*read)(int descriptor, void* to, std::size_t bytes);
  int (*identify)(int descriptor, struct stat* out);
  int (*identify_path)(const char* path, struct stat* out);
  int (*close)(int descriptor);
  int (*create)(const char* path, mode_t mode);  // anew, to write: a descriptor, or -1 and errno
  ssize_t (*write)(int descriptor, const void* from, std::size_t bytes);
  int (*sync)(int descriptor);
  int (*rename)(const char* from, const char* to);
  int (*remove)(const char* path);
  const char* (*environment)(const char* name);
  bool (*privileged)();
};
const SystemCalls& system_calls();
void replace_system_calls(const SystemCalls* calls);  // borrowed until replaced; nullptr brings the real ones back

}  // namespace layerhub
