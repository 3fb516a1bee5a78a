// SPDX-License-Identifier: Apache-2.0
#include "base/saved_answers.hpp"

#include "support/catch.hpp"
#include "support/scratch_cache.hpp"

#include <cerrno>
#include <fstream>
#include <iterator>

using namespace layerhub;
using layerhub::testing::ScratchCache;

namespace fs = boost::filesystem;

namespace {

const std::string question("which\0one", 9);

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file.string(), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& file, const std::string& bytes) {
  std::ofstream(file.string(), std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

TEST_CASE("an answer is found by its kind and question, and by no other") {
  const ScratchCache cache;
  CHECK_FALSE(find_answer("kind", question));
  save_answer("kind", question, "this one");
  CHECK(find_answer("kind", question) == "this one");
  CHECK_FALSE(find_answer("other", question));
  CHECK_FALSE(find_answer("kind", "which"));
  save_answer("kind", question, "that one");
  CHECK(find_answer("kind", question) == "that one");
}

TEST_CASE("an answer that is cut off, or has a byte changed or added, is as good as none") {
  const ScratchCache cache;
  save_answer("kind", question, "this one");
  const fs::path file = cache.answers().at(0);
  const std::string whole = bytes_of(file);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    write(file, whole.substr(0, at));
    CHECK_FALSE(find_answer("kind", question));
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    write(file, changed);
    CHECK_FALSE(find_answer("kind", question));
  }
  write(file, whole + "x");
  CHECK_FALSE(find_answer("kind", question));
  write(file, whole);
  CHECK(find_answer("kind", question) == "this one");
}

TEST_CASE("an answer that others may write is not taken") {
  const ScratchCache cache;
  save_answer("kind", question, "this one");
  const fs::path file = cache.answers().at(0);
  fs::permissions(file, fs::add_perms | fs::group_write);
  CHECK_FALSE(find_answer("kind", question));
  fs::permissions(file, fs::remove_perms | fs::group_write);
  CHECK(find_answer("kind", question) == "this one");
}

TEST_CASE("a process with more rights than its starter neither saves nor finds an answer") {
  const ScratchCache cache;
  save_answer("kind", question, "this one");
  SystemCalls calls = system_calls();
  calls.privileged = [] { return true; };
  replace_system_calls(&calls);
  CHECK_FALSE(find_answer("kind", question));
  save_answer("kind", "another", "that one");
  replace_system_calls(nullptr);
  CHECK(cache.answers().size() == 1);
}

TEST_CASE("a disk that fails loses the answer and nothing else") {
  const ScratchCache cache;
  save_answer("kind", question, "this one");
  SystemCalls calls = system_calls();
  calls.write = [](int, const void*, std::size_t) {
    errno = ENOSPC;
    return ssize_t{-1};
  };
  replace_system_calls(&calls);
  save_answer("kind", question, "that one");
  replace_system_calls(nullptr);
  CHECK(find_answer("kind", question) == "this one");
  CHECK(cache.answers().size() == 1);
}

TEST_CASE("answers about folders that are gone do not pile up") {
  const ScratchCache cache;
  for (int i = 0; i < 1100; ++i) {
    save_answer("kind", "folder " + std::to_string(i), "this one");
  }
  CHECK(cache.answers().size() <= 1025);
  CHECK(find_answer("kind", "folder 1099") == "this one");
}
