// SPDX-License-Identifier: Apache-2.0
#include "hub/repository_ref.hpp"

#include "base/reason.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace layerhub::hub {
namespace {

constexpr std::size_t longest_name = 96;

Reason invalid(const std::string& text) { return make_reason(ErrorCode::invalid_argument, "repository", text); }

}  // namespace

std::string RepositoryRef::revision_folder() const { return version ? fmt::format("v{}", *version) : revision; }

std::string RepositoryRef::text() const {
  if (local) {
    return local->string();
  }
  if (lock_file) {
    return fmt::format("{} (locked by {})", repo_id, lock_file->string());
  }
  const std::string folder = revision_folder();
  return folder.empty() ? repo_id : fmt::format("{}@{}", repo_id, folder);
}

bool is_safe_name(std::string_view part) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  };
  return !part.empty() && part.size() <= longest_name && part.front() != '.' &&
         std::all_of(part.begin(), part.end(), allowed);
}

bool is_commit(std::string_view text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_repo_id(std::string_view text) {
  const std::size_t slash = text.find('/');
  return slash != std::string_view::npos && is_safe_name(text.substr(0, slash)) && is_safe_name(text.substr(slash + 1));
}

Result<RepositoryRef> parse_repository_ref(std::string_view text) {
  const std::size_t at = text.find('@');
  RepositoryRef ref;
  ref.repo_id = text.substr(0, at);
  if (at != std::string_view::npos) {
    ref.revision = text.substr(at + 1);
  }
  if (!is_repo_id(ref.repo_id) || (at != std::string_view::npos && !is_safe_name(ref.revision))) {
    return invalid(
        fmt::format("repository `{}`: it is not of the form org/name or org/name@revision", printable(text)));
  }
  return ref;
}

Result<void> check_repository_ref(const RepositoryRef& ref) {
  if (ref.local) {
    return success();
  }
  if (!is_repo_id(ref.repo_id)) {
    return invalid(fmt::format("repository `{}`: it is not of the form org/name", printable(ref.repo_id)));
  }
  if (ref.lock_file) {
    return ref.revision.empty() && !ref.version
               ? Result<void>(success())
               : invalid(fmt::format("{}: a revision or version is given beside a lock file; the lock says it",
                                     ref.repo_id));
  }
  if (ref.revision.empty() == !ref.version.has_value()) {
    return invalid(fmt::format("{}: {} revision and version are given; give exactly one of the two", ref.repo_id,
                               ref.version ? "both" : "neither"));
  }
  if (!is_safe_name(ref.revision_folder())) {
    return invalid(fmt::format("{}: the revision `{}` cannot be a branch, tag or commit; give one such as v1",
                               ref.repo_id, printable(ref.revision)));
  }
  return success();
}

}  // namespace layerhub::hub
