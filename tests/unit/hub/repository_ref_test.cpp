// SPDX-License-Identifier: Apache-2.0
#include "hub/repository_ref.hpp"

#include "support/catch.hpp"

#include <string>

using namespace layerhub::hub;

TEST_CASE("a repository is written org/name, or org/name@revision") {
  const auto open = parse_repository_ref("layerhub/norm");
  REQUIRE(open);
  CHECK(open.value().repo_id == "layerhub/norm");
  CHECK(open.value().revision.empty());
  const auto pinned = parse_repository_ref("layerhub/norm@v2");
  REQUIRE(pinned);
  CHECK(pinned.value().revision_folder() == "v2");
  CHECK(pinned.value().text() == "layerhub/norm@v2");
}

TEST_CASE("no name can leave the directory that it is looked for in") {
  for (const char* bad : {"", "norm", "/norm", "layerhub/", "../norm", "layerhub/..", "layerhub/../../etc", "a/b/c",
                          "layerhub/.norm", "layer hub/norm", "layerhub/norm\n", "layerhub/n\x1b[2J", "a\\b/c"}) {
    INFO(bad);
    CHECK_FALSE(is_repo_id(bad));
    CHECK_FALSE(parse_repository_ref(bad));
  }
  for (const char* revision : {"", "..", "../..", "v1/..", ".hidden", "a b", "v1\n"}) {
    INFO(revision);
    CHECK_FALSE(is_safe_name(revision));
    CHECK_FALSE(parse_repository_ref(std::string("layerhub/norm@") + revision));
  }
}

TEST_CASE("a version is the branch of its number") {
  const RepositoryRef ref{.repo_id = "layerhub/norm", .revision = {}, .version = 12, .local = {}};
  CHECK(ref.revision_folder() == "v12");
  CHECK(check_repository_ref(ref));
}

TEST_CASE("exactly one of revision and version says which revision is meant") {
  const RepositoryRef both{.repo_id = "layerhub/norm", .revision = "main", .version = 1, .local = {}};
  const RepositoryRef neither{.repo_id = "layerhub/norm", .revision = {}, .version = {}, .local = {}};
  for (const RepositoryRef& ref : {both, neither}) {
    const auto checked = check_repository_ref(ref);
    REQUIRE_FALSE(checked);
    CHECK(checked.error().code == layerhub::ErrorCode::invalid_argument);
    CHECK(checked.error().text.find("layerhub/norm") != std::string::npos);
  }
}
