// SPDX-License-Identifier: Apache-2.0
#include "hub/kernel_status.hpp"

#include "base/os.hpp"
#include "base/reason.hpp"
#include "base/toml.hpp"

#include <boost/filesystem/operations.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace layerhub::hub {
namespace {

constexpr std::size_t max_file_bytes = std::size_t{1} << 16;

Reason wrong(const std::string& place, const std::string& fact) {
  return make_reason(ErrorCode::bad_metadata, "status", fmt::format("{}: {}", place, fact));
}

}  // namespace

Result<RepositoryRef> parse_kernel_status(std::string_view text, std::string_view name) {
  BOOST_OUTCOME_TRY(const Toml toml, parse_toml(text, name));
  for (const char* key : {"kind", "destination", "revision"}) {
    if (const auto value = toml.value.find(key); value != toml.value.end() && !value->is_string()) {
      return wrong(toml.at(name, key), "it is not a text; put it in quotation marks");
    }
  }
  const auto text_of = [&](const char* key) -> std::optional<std::string> {
    const auto value = toml.value.find(key);
    return value != toml.value.end() ? std::optional(value->get<std::string>()) : std::nullopt;
  };
  const std::optional<std::string> kind = text_of("kind"), destination = text_of("destination");
  if (!kind) {
    return wrong(toml.at(name, "kind"), "it is missing; the file must contain a `kind`, which is \"redirect\"");
  }
  if (*kind != "redirect") {
    return wrong(toml.at(name, "kind"), fmt::format("`{}` is unknown; it must be \"redirect\"", printable(*kind)));
  }
  if (!destination) {
    return wrong(toml.at(name, "destination"), "it is missing; name the repository that this one has moved to");
  }
  RepositoryRef ref;
  ref.repo_id = *destination;
  ref.revision = text_of("revision").value_or("main");
  if (!is_repo_id(ref.repo_id)) {
    return wrong(toml.at(name, "destination"),
                 fmt::format("`{}` is not of the form org/name", printable(*destination)));
  }
  if (!is_safe_name(ref.revision)) {
    return wrong(toml.at(name, "revision"), fmt::format("`{}` cannot be a revision", printable(ref.revision)));
  }
  return ref;
}

Result<std::optional<RepositoryRef>> read_kernel_status(const boost::filesystem::path& revision_folder) {
  const boost::filesystem::path file = revision_folder / "kernel-status.toml";
  boost::system::error_code error;
  if (!boost::filesystem::exists(file, error)) {
    return std::optional<RepositoryRef>{};
  }
  BOOST_OUTCOME_TRY(const std::string text, read_file(file, max_file_bytes));
  BOOST_OUTCOME_TRY(RepositoryRef ref, parse_kernel_status(text, printable(file.string(), 400)));
  return std::optional(std::move(ref));
}

}  // namespace layerhub::hub
