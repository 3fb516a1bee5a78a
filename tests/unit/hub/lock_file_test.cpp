// SPDX-License-Identifier: Apache-2.0
#include "hub/lock_file.hpp"

#include "support/catch.hpp"
#include "support/plugin_roots.hpp"

#include <nlohmann/json.hpp>

using namespace layerhub;
using namespace layerhub::hub;
using Catch::Matchers::Contains;
using layerhub::testing::Roots;

namespace {

const std::string commit_a(40, 'a'), commit_b(40, 'b');

std::string entry(const std::string& dependency, const std::string& lock) {
  return "{\"dependency\": {" + dependency + "}, \"lock\": {" + lock + "}}";
}
const std::string a_v1 = entry("\"repo-id\": \"org/a\", \"version\": 1", "\"commit\": \"" + commit_a + "\"");

std::string refusal(const std::string& text) {
  const Result<HubLocks> locks = parse_lock_file(text, "kernels.lock");
  return locks ? "taken" : locks.error().text;
}

}  // namespace

TEST_CASE("a lock is read and written, and does not depend on the order in which it was made") {
  const Dependency a{"org/a", 1}, b{"org/b", {}, "main"};
  const HubLocks one{{a, commit_a}, {b, commit_b}}, other{{b, commit_b}, {a, commit_a}};
  CHECK(write_lock_file(one) == write_lock_file(other));
  CHECK(parse_lock_file(write_lock_file(one), "kernels.lock").value() == one);
}

TEST_CASE("a locked repository gives its commit, one that is not locked an error that says so") {
  const HubLocks locks = parse_lock_file("[" + a_v1 + "]", "kernels.lock").value();
  CHECK(locked_commit(locks, "org/a", "kernels.lock").value() == commit_a);
  CHECK_THAT(locked_commit(locks, "org/b", "kernels.lock").error().text, Contains("Kernel `org/b` is not locked"));
}

TEST_CASE("a repository that is locked at two commits is ambiguous") {
  const HubLocks locks{{Dependency{"org/a", 1}, commit_a}, {Dependency{"org/a", 2}, commit_b}};
  CHECK_THAT(locked_commit(locks, "org/a", "kernels.lock").error().text, Contains("more than once"));
}

TEST_CASE("the older form of the Hub's lock is read") {
  const HubLocks locks =
      parse_lock_file("[{\"repo_id\": \"org/a\", \"sha\": \"" + commit_a + "\", \"variants\": {}}]", "lock").value();
  CHECK(locked_commit(locks, "org/a", "lock").value() == commit_a);
}

TEST_CASE("an unknown field, a duplicate, a bad commit and an object in place of the list are refused") {
  CHECK_THAT(
      refusal("[" + entry("\"repo-id\": \"org/a\", \"version\": 1, \"x\": 1", "\"commit\": \"" + commit_a + "\"") +
              "]"),
      Contains("[0].dependency") && Contains("`x` is unknown"));
  CHECK_THAT(refusal("[{\"dependency\": {}, \"lock\": {}, \"more\": 1}]"), Contains("`more` is unknown"));
  CHECK_THAT(refusal("[" + a_v1 + "," + a_v1 + "]"), Contains("[1]") && Contains("stands before it"));
  for (const char* bad : {"abc", "", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}) {
    CHECK_THAT(
        refusal("[" + entry("\"repo-id\": \"org/a\", \"version\": 1", std::string("\"commit\": \"") + bad + "\"") +
                "]"),
        Contains("is no commit"));
  }
  CHECK_THAT(refusal("{\"org/a\": \"" + commit_a + "\"}"), Contains("it is not a list"));
}

TEST_CASE("a dependency has exactly one of version and revision") {
  const std::string lock = "\"commit\": \"" + commit_a + "\"";
  CHECK_THAT(refusal("[" + entry("\"repo-id\": \"org/a\"", lock) + "]"), Contains("neither"));
  CHECK_THAT(refusal("[" + entry("\"repo-id\": \"org/a\", \"version\": 1, \"revision\": \"x\"", lock) + "]"),
             Contains("both"));
  CHECK_THAT(refusal("[" + entry("\"repo-id\": \"org/a\", \"version\": -1", lock) + "]"), Contains("whole number"));
  CHECK_THAT(refusal("[" + entry("\"repo-id\": \"orga\", \"version\": 1", lock) + "]"), Contains("org/name"));
}

TEST_CASE("a repository with a lock file resolves to the locked commit") {
  Roots roots;
  roots.add("root", "org/a", commit_a);
  roots.add("root", "org/a", "v1");
  const boost::filesystem::path file = roots.base() / "kernels.lock";
  std::ofstream(file.string()) << "[" + a_v1 + "]";
  RepositoryRef ref;
  ref.repo_id = "org/a";
  ref.lock_file = file;
  CHECK(roots.resolver({"root"}).resolve(ref, "cpu").value().ref.revision == commit_a);
  ref.revision = "v1";
  CHECK_THAT(roots.resolver({"root"}).resolve(ref, "cpu").error().text, Contains("beside a lock file"));
}

TEST_CASE("a lock of the older form is not written as a dependency that says neither version nor revision") {
  const HubLocks locks = parse_lock_file("[{\"repo_id\": \"org/a\", \"sha\": \"" + commit_a + "\"}]", "lock").value();
  const nlohmann::json written = nlohmann::json::parse(write_lock_file(locks));
  CHECK(written[0]["dependency"]["revision"] == commit_a);
}

TEST_CASE("a locked revision is any text but none: only the commit becomes a folder's name") {
  const auto with = [](const char* revision) {
    return refusal("[" +
                   entry(std::string("\"repo-id\": \"org/a\", \"revision\": \"") + revision + "\"",
                         "\"commit\": \"" + commit_a + "\"") +
                   "]");
  };
  CHECK_THAT(with(""), Contains("[0].dependency.revision: it is empty"));
  CHECK(with("refs/pr/3") == "taken");
}
