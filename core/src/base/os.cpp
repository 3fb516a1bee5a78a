// SPDX-License-Identifier: Apache-2.0
// Linux. Files are opened without blocking and checked to be regular before a byte is read: a plugin directory may hold
// a named pipe called metadata.json, and waiting for its writer would stop the host.
#include "base/os.hpp"

#include "base/reason.hpp"

#include <fmt/format.h>
#include <boost/filesystem/operations.hpp>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <pwd.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

namespace layerhub {
namespace {

namespace fs = boost::filesystem;
constexpr std::string_view rule = "file";

constexpr SystemCalls real_calls{
    .open_to_read = [](const char* path) { return ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); },
    .read = ::read,
    .identify = [](int descriptor, struct stat* out) { return ::fstat(descriptor, out); },
    .identify_path = [](const char* path, struct stat* out) { return ::stat(path, out); },
    .close = ::close,
    .create =
        [](const char* path, mode_t mode) {
          return ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        },
    .write = ::write,
    .sync = ::fsync,
    .rename = ::rename,
    .remove = ::unlink,
    .environment = [](const char* name) { return static_cast<const char*>(std::getenv(name)); },
    .privileged = [] { return ::getauxval(AT_SECURE) != 0; },
};
std::atomic<const SystemCalls*> calls_in_use{&real_calls};

Reason refuse(ErrorCode code, std::string_view act, std::string_view object, std::string_view why) {
  return make_reason(code, rule, fmt::format("{}: cannot {}: {}", object, act, why), {{"path", std::string(object)}});
}

// The Reason for a call that failed with `error`, an errno.
Reason refuse_errno(std::string_view act, std::string_view object, int error) {
  const ErrorCode code = error == ENOENT || error == ENOTDIR ? ErrorCode::not_found : ErrorCode::io_error;
  Reason reason = refuse(code, act, object, std::generic_category().message(error));
  reason.facts.push_back({"errno", std::to_string(error)});
  return reason;
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) system_calls().close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value() const { return value_; }

 private:
  int value_;
};

// Calls again while a signal interrupts.
template <class Call>
auto retried(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

FileIdentity identity_of(const struct stat& found) {
  return {.size = static_cast<std::uint64_t>(found.st_size),
          .mtime_ns = nanoseconds(found.st_mtim),
          .ctime_ns = nanoseconds(found.st_ctim),
          .inode = found.st_ino,
          .device = found.st_dev};
}

// Reads to the end in steps; one byte more than the limit is enough to know that the file is too long.
Result<std::string> read_all(int descriptor, std::string_view name, std::size_t expected, std::size_t limit) {
  std::string text(std::min(expected, limit) + 1, '\0');
  std::size_t have = 0;
  for (;;) {
    const ssize_t got =
        retried([&] { return system_calls().read(descriptor, text.data() + have, text.size() - have); });
    if (got < 0) return refuse_errno("read", name, errno);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
    if (have > limit) return refuse(ErrorCode::io_error, "read", name, fmt::format("larger than {} bytes", limit));
    if (have == text.size()) text.resize(std::min(text.size() * 2, limit + 1));
  }
  text.resize(have);
  return text;
}

std::string home_folder() {
  if (auto home = secure_environment("HOME"); home && !home->empty()) return *home;
  std::vector<char> buffer(16 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return {};
  return found->pw_dir;
}

// By the XDG base directory specification: a relative path in the variable is ignored.
Result<fs::path> user_folder(const char* variable, std::string_view below_home) {
  if (auto value = secure_environment(variable); value && fs::path(*value).is_absolute()) return fs::path(*value);
  const fs::path home = home_folder();
  if (!home.is_absolute()) {
    return make_reason(ErrorCode::not_found, rule,
                       fmt::format("home folder: neither {} nor HOME names one; set one of them", variable));
  }
  return home / fs::path(std::string(below_home));
}

}  // namespace

const SystemCalls& system_calls() { return *calls_in_use.load(std::memory_order_acquire); }

void replace_system_calls(const SystemCalls* calls) {
  calls_in_use.store(calls != nullptr ? calls : &real_calls, std::memory_order_release);
}

namespace {

// accepts(found): what is wrong with a file of these properties, or "".
template <class Accepts>
Result<std::string> read_if(const fs::path& file, std::size_t limit, Accepts&& accepts) {
  const Descriptor descriptor(retried([&] { return system_calls().open_to_read(file.c_str()); }));
  if (descriptor.value() < 0) return refuse_errno("open", file.native(), errno);
  struct stat found {};
  if (system_calls().identify(descriptor.value(), &found) != 0) return refuse_errno("stat", file.native(), errno);
  const std::string_view fault = S_ISREG(found.st_mode) ? accepts(found) : "not a regular file";
  if (!fault.empty()) return refuse(ErrorCode::io_error, "read", file.native(), fault);
  return read_all(descriptor.value(), file.native(), static_cast<std::size_t>(found.st_size), limit);
}

}  // namespace

Result<std::string> read_file(const fs::path& file, std::size_t limit) {
  return read_if(file, limit, [](const struct stat&) { return ""; });
}

Result<std::string> read_own_file(const fs::path& file, std::size_t limit) {
  return read_if(file, limit, [](const struct stat& found) {
    const bool is_own = found.st_uid == ::geteuid() && (found.st_mode & (S_IWGRP | S_IWOTH)) == 0;
    return is_own ? "" : "another user can write it";
  });
}

namespace {

Result<void> write_all(int descriptor, std::string_view bytes, const std::string& name, FileKind kind) {
  while (!bytes.empty()) {
    const ssize_t written = retried([&] { return system_calls().write(descriptor, bytes.data(), bytes.size()); });
    if (written < 0) {
      return refuse_errno("write", name, errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (kind == FileKind::document && retried([&] { return system_calls().sync(descriptor); }) != 0) {
    return refuse_errno("sync", name, errno);
  }
  return success();
}

}  // namespace

Result<void> write_file(const fs::path& file, std::string_view bytes, FileKind kind) {
  const std::string& name = file.string();
  const std::string beside = fmt::format("{}.{}.new", name, ::getpid());
  Result<void> written = success();
  {
    const mode_t mode = kind == FileKind::document ? 0666 : 0600;
    const Descriptor descriptor(retried([&] { return system_calls().create(beside.c_str(), mode); }));
    if (descriptor.value() < 0) {
      return refuse_errno("create", beside, errno);
    }
    written = write_all(descriptor.value(), bytes, beside, kind);
  }
  if (written && system_calls().rename(beside.c_str(), name.c_str()) != 0) {
    written = refuse_errno("rename to it", name, errno);
  }
  if (!written) {
    system_calls().remove(beside.c_str());
  }
  return written;
}

Result<FileIdentity> file_identity(const fs::path& file) {
  struct stat found {};
  if (system_calls().identify_path(file.c_str(), &found) != 0) return refuse_errno("stat", file.native(), errno);
  return identity_of(found);
}

Result<FileIdentity> file_identity(int descriptor) {
  struct stat found {};
  if (system_calls().identify(descriptor, &found) != 0) {
    return refuse_errno("stat", fmt::format("descriptor {}", descriptor), errno);
  }
  return identity_of(found);
}

std::optional<FileIdentity> find_identity(const fs::path& file) {
  struct stat found {};
  return system_calls().identify_path(file.c_str(), &found) == 0 ? std::optional(identity_of(found)) : std::nullopt;
}

bool is_privileged() noexcept { return system_calls().privileged(); }

std::optional<std::string> secure_environment(const char* name) {
  if (is_privileged()) return std::nullopt;
  const char* value = system_calls().environment(name);
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

Result<fs::path> user_data_folder() { return user_folder("XDG_DATA_HOME", ".local/share"); }

Result<fs::path> user_cache_folder() { return user_folder("XDG_CACHE_HOME", ".cache"); }

Result<fs::path> cache_folder() {
  if (auto value = secure_environment("LAYERHUB_CACHE"); value && !value->empty()) return fs::path(*value);
  BOOST_OUTCOME_TRY(auto folder, user_cache_folder());
  return folder / "layerhub";
}

Result<fs::path> executable_folder() {
  boost::system::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return refuse_errno("read the link", "/proc/self/exe", error.value());
  return program.parent_path();
}

}  // namespace layerhub
