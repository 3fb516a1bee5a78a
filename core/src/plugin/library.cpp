// SPDX-License-Identifier: Apache-2.0
#include "plugin/library.hpp"

#include "admission/elf_image.hpp"
#include "base/reason.hpp"
#include "base/saved_answers.hpp"
#include "base/witness.hpp"

#include <boost/filesystem/operations.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace layerhub::plugin {
namespace {

constexpr std::size_t max_library_bytes = std::size_t{1} << 30;
constexpr std::string_view answer_kind = "library";
constexpr std::string_view query_prefix = "lh_plugin_query_v";

Reason refused(ErrorCode code, const std::string& name, const std::string& fact, const char* remedy) {
  return make_reason(code, "library", fmt::format("{}: {}; {}", name, fact, remedy));
}

// What a library must export, read from the file: nothing of it runs before it fits.
Result<void> check_exports(const admission::ElfImage& image, const std::string& name) {
  std::string other_major;
  bool found = false;
  for (const admission::ElfSymbol& symbol : image.exports) {
    if (symbol.unique) {
      return refused(ErrorCode::bad_library, name,
                     fmt::format("it has the process-wide unique symbol {}", printable(symbol.name)),
                     "build it with -fno-gnu-unique, as layerhub_add_plugin does: two revisions would share it");
    }
    if (symbol.name == LH_PLUGIN_QUERY_SYMBOL) {
      found = true;
    } else if (symbol.name.starts_with(query_prefix)) {
      other_major = symbol.name.substr(query_prefix.size());
    }
  }
  if (found) {
    return success();
  }
  if (!other_major.empty()) {
    return refused(ErrorCode::abi_mismatch, name,
                   fmt::format("it speaks major {} of the ABI, this host {}", printable(other_major, 16), LH_ABI_MAJOR),
                   "install a build of the plugin for this layerhub");
  }
  return refused(ErrorCode::bad_library, name, "it exports no " LH_PLUGIN_QUERY_SYMBOL, "it is no layerhub plugin");
}

// The words of the system's loader among Boost's: "... (dlerror system message: WORDS): Bad file descriptor ...".
std::string loader_words(std::string_view all) {
  constexpr std::string_view before = "dlerror system message: ";
  const std::size_t begin = all.find(before), end = all.rfind("): ");
  const bool found = begin != std::string_view::npos && end != std::string_view::npos && begin + before.size() < end;
  return printable(found ? all.substr(begin + before.size(), end - begin - before.size()) : all, 600);
}

Result<boost::dll::shared_library> open_with_boost(const boost::filesystem::path& file) {
  try {
    return boost::dll::shared_library(file, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
  } catch (const boost::system::system_error& error) {
    return make_reason(ErrorCode::bad_library, "library",
                       fmt::format("{}: the system's loader refuses it: {}; install what it needs", file.string(),
                                   loader_words(error.what())));
  }
}

Result<Descriptor> query(const boost::dll::shared_library& handle, const std::string& name) {
  const auto ask = reinterpret_cast<lh_plugin_query_fn>(&handle.get<void()>(LH_PLUGIN_QUERY_SYMBOL));
  std::array<char, 512> text;
  lh_error error{sizeof error, 0, text.data(), text.size(), 0};
  std::uint32_t minor = newest_minor;
  const lh_plugin* plugin = nullptr;
  const std::int32_t status = ask(oldest_minor, &minor, &plugin, &error);
  const std::string said = printable({text.data(), std::min<std::size_t>(error.length, text.size())}, text.size());
  if (status == LH_UNSUPPORTED) {
    return refused(ErrorCode::abi_mismatch, name,
                   fmt::format("it cannot speak minor {} to {} of the ABI ({})", oldest_minor, newest_minor, said),
                   "install a build of the plugin for this layerhub");
  }
  if (status != LH_OK || plugin == nullptr) {
    return refused(ErrorCode::bad_library, name, fmt::format("its query failed with status {} ({})", status, said),
                   "ask the plugin's author");
  }
  if (minor > newest_minor || minor < oldest_minor) {
    return refused(
        ErrorCode::abi_mismatch, name,
        fmt::format("it chose minor {} of the ABI, offered were {} to {}", minor, oldest_minor, newest_minor),
        "ask the plugin's author");
  }
  return import_descriptor(*plugin, minor, name);
}

Result<Inspected> read_library(const boost::filesystem::path& given) {
  boost::system::error_code no_file;
  const boost::filesystem::path file = boost::filesystem::canonical(given, no_file);
  const std::string name = (no_file ? given : file).string();
  BOOST_OUTCOME_TRY(const FileIdentity before, file_identity(no_file ? given : file));
  BOOST_OUTCOME_TRY(const std::string bytes, read_file(file, max_library_bytes));
  BOOST_OUTCOME_TRY(const admission::ElfImage image, admission::read_elf_image(std::as_bytes(std::span(bytes)), name));
  BOOST_OUTCOME_TRY(check_exports(image, name));
  return Inspected{file, before};
}

}  // namespace

Result<Inspected> inspect_library(const boost::filesystem::path& given) {
  if (const std::optional<std::string> answer = find_answer(answer_kind, given.native())) {
    Inspected known;
    ArchiveReader archive(*answer);
    archive(known.path, known.identity);
    if (archive.is_complete() && find_identity(given) == known.identity) {
      return known;
    }
  }
  const std::int64_t settled = settled_time_ns();
  BOOST_OUTCOME_TRY(Inspected fresh, read_library(given));
  if (fresh.identity.ctime_ns < settled && given.is_absolute() && find_identity(given) == fresh.identity) {
    ArchiveWriter archive;
    archive(fresh.path, fresh.identity);
    save_answer(answer_kind, given.native(), archive.bytes());
  }
  return fresh;
}

Result<Library> open_library(const Inspected& inspected) {
  const std::string name = inspected.path.string();
  Library library;
  library.path = inspected.path;
  library.identity = inspected.identity;
  BOOST_OUTCOME_TRY(library.handle, open_with_boost(inspected.path));
  if (find_identity(inspected.path) != inspected.identity) {
    return refused(ErrorCode::io_error, name, "it was rewritten while it was being opened", "call again");
  }
  BOOST_OUTCOME_TRY(library.descriptor, query(library.handle, name));
  return library;
}

}  // namespace layerhub::plugin
