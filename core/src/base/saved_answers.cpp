// SPDX-License-Identifier: Apache-2.0
//   <cache>/answers/<kind>-<hash of the question>:  build, checksum of what follows, question, answer
#include "base/saved_answers.hpp"

#include "base/archive.hpp"
#include "base/log.hpp"
#include "base/os.hpp"

#include <layerhub/abi.h>

#include <fmt/format.h>
#include <boost/filesystem/operations.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <utility>

namespace layerhub {
namespace {

namespace fs = boost::filesystem;

constexpr std::size_t max_answer_bytes = std::size_t{16} << 20;
// Questions name folders, and folders come and go: with more than these all are forgotten and asked again.
constexpr std::ptrdiff_t max_answers = 1024;

// Raised with every change of what is written, or of how it is worked out.
constexpr std::uint32_t answer_format = 1;

// Not against an enemy, who could as well write the sum: against what a crash leaves.
std::uint64_t sum_of(std::string_view bytes) {
  std::uint64_t sums[2] = {0xcbf29ce484222325u ^ bytes.size(), 0};  // two, so that one multiplication waits for none
  for (std::size_t at = 0; at < bytes.size(); at += sizeof sums) {
    std::uint64_t words[2] = {};
    std::memcpy(words, bytes.data() + at, std::min(bytes.size() - at, sizeof words));
    for (int i = 0; i < 2; ++i) {
      sums[i] = (sums[i] ^ words[i]) * 0x9e3779b97f4a7c15u;
      sums[i] ^= sums[i] >> 32;
    }
  }
  return (sums[0] * 3) ^ sums[1];
}

struct Build {
  std::string_view version = LAYERHUB_VERSION;
  std::uint32_t abi_major = LH_ABI_MAJOR, abi_minor = LH_ABI_MINOR, format = answer_format;
  bool operator==(const Build&) const = default;
};
template <class Archive, same_value_as<Build> B>
void fields(Archive& archive, B& build) {
  archive(build.version, build.abi_major, build.abi_minor, build.format);
}

std::optional<fs::path> file_of(std::string_view kind, std::string_view question) {
  if (is_privileged()) {
    return std::nullopt;
  }
  const Result<fs::path> cache = cache_folder();
  return cache ? std::optional(cache.value() / "answers" / fmt::format("{}-{:016x}", kind, sum_of(question)))
               : std::nullopt;
}

void make_room(const fs::path& folder) {
  boost::system::error_code error;
  if (std::distance(fs::directory_iterator(folder, error), fs::directory_iterator()) <= max_answers) {
    return;
  }
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    boost::system::error_code gone;  // somebody else makes room as well
    fs::remove(entry->path(), gone);
  }
}

}  // namespace

std::optional<std::string> find_answer(std::string_view kind, std::string_view question) {
  const std::optional<fs::path> file = file_of(kind, question);
  Result<std::string> read = file ? read_own_file(*file, max_answer_bytes) : Result<std::string>(std::string());
  if (!read) {
    return std::nullopt;
  }
  std::string bytes = std::move(read).value();
  Build build;
  std::string_view body, asked, answer;
  std::uint64_t sum = 0;
  ArchiveReader outer(bytes);
  outer(build, sum, body);
  ArchiveReader inner(body);
  inner(asked, answer);
  if (!outer.is_complete() || !(build == Build()) || sum != sum_of(body) || !inner.is_complete() ||
      asked != question) {
    return std::nullopt;
  }
  bytes.erase(0, bytes.size() - answer.size());  // it stands last
  return bytes;
}

void save_answer(std::string_view kind, std::string_view question, std::string_view answer) {
  const std::optional<fs::path> file = file_of(kind, question);
  if (!file) {
    return;
  }
  ArchiveWriter inner, outer;
  inner(question, answer);
  outer(Build(), sum_of(inner.bytes()), inner.bytes());
  boost::system::error_code error;
  if (fs::create_directories(file->parent_path(), error) || !error) {
    make_room(file->parent_path());
  }
  if (const Result<void> written = write_file(*file, outer.bytes(), FileKind::cache); !written) {
    log(LogLevel::debug, "{}", written.error().text);
  }
}

}  // namespace layerhub
