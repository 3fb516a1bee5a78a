// SPDX-License-Identifier: Apache-2.0
#include "hub/kernel_status.hpp"

#include "support/catch.hpp"
#include "support/plugin_roots.hpp"

#include <cstdlib>

using namespace layerhub;
using namespace layerhub::hub;
using Catch::Matchers::Contains;
using layerhub::testing::Roots;

namespace {

std::string refusal(const char* text) {
  const Result<RepositoryRef> ref = parse_kernel_status(text, "kernel-status.toml");
  return ref ? "taken" : ref.error().text;
}

void redirect(const Roots& roots, const std::string& from, const std::string& to) {
  const boost::filesystem::path folder = roots.base() / "root" / from;
  boost::filesystem::create_directories(folder);
  std::ofstream((folder / "kernel-status.toml").string()) << to;
}

RepositoryRef named(const char* repo, const char* revision) {
  RepositoryRef ref;
  ref.repo_id = repo;
  ref.revision = revision;
  return ref;
}

}  // namespace

TEST_CASE("a redirect's revision is main where it names none") {
  const RepositoryRef ref = parse_kernel_status("kind = \"redirect\"\ndestination = \"a/b\"", "status").value();
  CHECK(ref.text() == "a/b@main");
}

TEST_CASE("a redirect may name a revision") {
  const RepositoryRef ref =
      parse_kernel_status("kind = \"redirect\"\ndestination = \"a/b\"\nrevision = \"v2\"", "status").value();
  CHECK(ref.text() == "a/b@v2");
}

TEST_CASE("a status without a kind, of an unknown kind or empty is refused, with its line") {
  CHECK_THAT(refusal(""), Contains("must contain a `kind`"));
  CHECK_THAT(refusal("destination = \"a/b\""), Contains("must contain a `kind`"));
  CHECK_THAT(refusal("\nkind = \"gone\"\ndestination = \"a/b\""),
             Contains("kernel-status.toml:2: kind: `gone` is unknown"));
}

TEST_CASE("a redirect without a destination, or to what is no repository, is refused") {
  CHECK_THAT(refusal("kind = \"redirect\""), Contains("destination") && Contains("missing"));
  CHECK_THAT(refusal("kind = \"redirect\"\ndestination = \"../../etc\""), Contains("not of the form org/name"));
  CHECK_THAT(refusal("kind = \"redirect\"\ndestination = \"a/b\"\nrevision = \"../x\""),
             Contains("can't be") || Contains("cannot be"));
}

TEST_CASE("what is no TOML is refused with line and column") {
  CHECK_THAT(refusal("kind = \"redirect\"\ndestination = "), Contains("kernel-status.toml:2:"));
}

TEST_CASE("a revision without a status is used as it is") {
  Roots roots;
  roots.add("root", "a/b", "v1");
  CHECK(roots.resolver({"root"}).resolve(named("a/b", "v1"), "cpu").value().notes.empty());
}

TEST_CASE("a redirect is followed, to the end of several, and told of") {
  Roots roots;
  roots.add("root", "new/place", "v3");
  redirect(roots, "old/place/v1", "kind = \"redirect\"\ndestination = \"middle/place\"");
  redirect(roots, "middle/place/main", "kind = \"redirect\"\ndestination = \"new/place\"\nrevision = \"v3\"");
  const Resolved resolved = roots.resolver({"root"}).resolve(named("old/place", "v1"), "cpu").value();
  CHECK(resolved.ref.text() == "new/place@v3");
  CHECK(resolved.notes == std::vector<std::string>{"old/place@v1 has moved to middle/place@main",
                                                   "middle/place@main has moved to new/place@v3"});
}

TEST_CASE("redirects in a circle are refused and shown") {
  Roots roots;
  redirect(roots, "a/a/main", "kind = \"redirect\"\ndestination = \"b/b\"");
  redirect(roots, "b/b/main", "kind = \"redirect\"\ndestination = \"a/a\"");
  const auto refused = roots.resolver({"root"}).resolve(named("a/a", "main"), "cpu");
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().text, Contains("do not end"));
  CHECK_THAT(refused.error().facts[0].value, Contains("a/a@main has moved to b/b@main"));
}

TEST_CASE("the destination of a redirect is held to the same rules as a repository that is named") {
  Roots roots;
  redirect(roots, "a/b/v1", "kind = \"redirect\"\ndestination = \"is/missing\"");
  CHECK_THAT(roots.resolver({"root"}).resolve(named("a/b", "v1"), "cpu").error().text,
             Contains("is/missing@main") && Contains("in no plugin directory"));
}

TEST_CASE("a key of a status that is no text is refused, not read as if it were missing") {
  CHECK_THAT(refusal("kind = \"redirect\"\ndestination = \"a/b\"\nrevision = 2"),
             Contains("kernel-status.toml:3: revision"));
  CHECK_THAT(refusal("kind = true"), Contains("kernel-status.toml:1: kind") && !Contains("missing"));
}

TEST_CASE("an override of the repository that a redirect leads to is used") {
  Roots roots;
  roots.add("root", "new/place", "main");
  const boost::filesystem::path work = roots.add("work", "new/place", "main");
  redirect(roots, "old/place/v1", "kind = \"redirect\"\ndestination = \"new/place\"");
  ::setenv("LAYERHUB_OVERRIDES", ("new/place=" + work.string()).c_str(), 1);
  const auto resolved = roots.resolver({"root"}).resolve(named("old/place", "v1"), "cpu");
  ::unsetenv("LAYERHUB_OVERRIDES");
  REQUIRE(resolved);
  CHECK(resolved.value().folder == work);
  CHECK(resolved.value().notes.size() == 2);
}
