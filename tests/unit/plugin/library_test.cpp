// SPDX-License-Identifier: Apache-2.0
#include "plugin/library.hpp"

#include "support/catch.hpp"
#include "support/scratch_cache.hpp"

#include <ctime>

using namespace layerhub;
using layerhub::testing::ScratchCache;
using layerhub::testing::settle;
using layerhub::testing::times_opened;

namespace fs = boost::filesystem;

namespace {

struct CopiedLibrary : ScratchCache {
  fs::path file = folder() / "copy.so";
  CopiedLibrary() { fs::copy_file(LAYERHUB_FAKES_ROOT "/twice.so", file); }
};

}  // namespace

TEST_CASE("a library that passed is not read again while it is the same") {
  const CopiedLibrary library;
  settle();
  CHECK(times_opened("copy.so", [&] { REQUIRE(plugin::inspect_library(library.file)); }) == 1);
  CHECK(times_opened("copy.so", [&] { REQUIRE(plugin::inspect_library(library.file)); }) == 0);
  CHECK(plugin::inspect_library(library.file).value().path == fs::canonical(library.file));
}

TEST_CASE("a library that was only just written is read each time: a second change might not show") {
  const CopiedLibrary library;
  fs::last_write_time(library.file, std::time(nullptr));  // its ctime is now
  REQUIRE(plugin::inspect_library(library.file));
  CHECK(times_opened("copy.so", [&] { REQUIRE(plugin::inspect_library(library.file)); }) == 1);
}

TEST_CASE("a library that passed and was cut off, rewritten or replaced since is read again and refused") {
  const CopiedLibrary library;
  settle();
  REQUIRE(plugin::inspect_library(library.file));
  REQUIRE(library.answers().size() == 1);
  const auto size = fs::file_size(library.file);
  const std::time_t time = fs::last_write_time(library.file);
  SECTION("cut off") { fs::resize_file(library.file, size / 2); }
  SECTION("rewritten in place with its size and time") {
    fs::resize_file(library.file, 0);
    fs::resize_file(library.file, size);
    fs::last_write_time(library.file, time);
  }
  SECTION("replaced by another file of its size and time") {
    const fs::path other = library.folder() / "other.so";
    fs::copy_file(library.file, other);
    fs::resize_file(other, 0);
    fs::resize_file(other, size);
    fs::last_write_time(other, time);
    fs::rename(other, library.file);
  }
  CHECK_FALSE(plugin::inspect_library(library.file));
}

TEST_CASE("a link that leads to another library since is seen") {
  const CopiedLibrary library;
  const fs::path other = library.folder() / "other.so", link = library.folder() / "link.so";
  fs::copy_file(library.file, other);
  fs::create_symlink(library.file, link);
  settle();
  CHECK(plugin::inspect_library(link).value().path == fs::canonical(library.file));
  fs::remove(link);
  fs::create_symlink(other, link);
  CHECK(plugin::inspect_library(link).value().path == fs::canonical(other));
}
