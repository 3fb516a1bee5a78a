// SPDX-License-Identifier: Apache-2.0
#include "hub/overrides.hpp"

#include "base/os.hpp"
#include "base/reason.hpp"
#include "hub/repository_ref.hpp"

#include <boost/filesystem/operations.hpp>

#include <fmt/format.h>

namespace layerhub::hub {
namespace {

constexpr std::size_t max_file_bytes = std::size_t{1} << 20;

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

Reason wrong(std::string_view name, int number, std::string_view entry, const std::string& fact) {
  return make_reason(ErrorCode::invalid_argument, "override",
                     fmt::format("{}: entry {}, `{}`: {}", name, number, printable(entry), fact));
}

Result<void> add_entry(std::string_view entry, std::string_view name, int number, Overrides& overrides) {
  const std::size_t equals = entry.find('=');
  if (equals == std::string_view::npos || equals + 1 == entry.size()) {
    return wrong(name, number, entry, "it is not of the form org/name=path");
  }
  const std::string repo_id(trimmed(entry.substr(0, equals)));
  const boost::filesystem::path path{std::string(trimmed(entry.substr(equals + 1)))};
  if (!is_repo_id(repo_id)) {
    return wrong(name, number, entry, "what stands before `=` is not of the form org/name");
  }
  boost::system::error_code error;
  if (!boost::filesystem::is_directory(path, error)) {
    return wrong(name, number, entry, "there is no such folder; name a repository's, its build folder or a variant's");
  }
  if (!overrides.emplace(repo_id, path).second) {
    return wrong(name, number, entry, "the repository stands before it already");
  }
  return success();
}

}  // namespace

Result<Overrides> parse_overrides(std::string_view text, char separator, std::string_view name) {
  Overrides overrides;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find(separator), text.size());
    const std::string_view entry = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!entry.empty() && !(separator == '\n' && entry.front() == '#')) {
      BOOST_OUTCOME_TRY(add_entry(entry, name, number, overrides));
    }
  }
  return overrides;
}

std::optional<boost::filesystem::path> overrides_file() {
  const std::optional<std::string> value = secure_environment(overrides_variable);
  const bool is_file = value && !value->empty() && value->find('=') == std::string::npos;
  return is_file ? std::optional<boost::filesystem::path>(*value) : std::nullopt;
}

Result<Overrides> environment_overrides() {
  const std::optional<boost::filesystem::path> file = overrides_file();
  if (!file) {
    return parse_overrides(secure_environment(overrides_variable).value_or(""), ';', overrides_variable);
  }
  const Result<std::string> text = read_file(*file, max_file_bytes);
  if (!text) {
    return make_reason(text.error().code, "override",
                       fmt::format("{}: `{}` is neither a list of org/name=path nor a file that can be read ({})",
                                   overrides_variable, printable(file->string(), 400), text.error().text));
  }
  return parse_overrides(text.value(), '\n', printable(file->string(), 400));
}

}  // namespace layerhub::hub
