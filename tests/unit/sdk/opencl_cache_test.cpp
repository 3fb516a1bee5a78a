// SPDX-License-Identifier: Apache-2.0
// Built programs on disk: what is not what was written never reaches a driver, which would crash of it. No driver is
// needed here, but OpenCL's headers are.
#include "support/catch.hpp"
#include "support/scratch_cache.hpp"

#if __has_include(<CL/cl.h>)
#include <layerhub/sdk/opencl_cache.hpp>

#include <fstream>
#include <iterator>
#include <string>

namespace {

using namespace layerhub::sdk::opencl;

const std::string identity = "source and device\n", program = std::string("\177ELF") + std::string(1000, '\0');

std::string contents(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

void overwrite(const std::string& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

TEST_CASE("a built program is read back as it was written, for what it was built from alone") {
  const layerhub::testing::ScratchCache cache;
  const std::string file = cache.folder().string() + "/program.bin";
  CHECK(read_built(file, identity) == std::nullopt);
  write_built(file, identity, program);
  CHECK(read_built(file, identity) == program);
  CHECK(read_built(file, "another source\n") == std::nullopt);
}

TEST_CASE("a file of a built program that is cut, longer or changed anywhere counts as none") {
  const layerhub::testing::ScratchCache cache;
  const std::string file = cache.folder().string() + "/program.bin";
  write_built(file, identity, program);
  const std::string whole = contents(file);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    overwrite(file, whole.substr(0, size));
    CHECK(read_built(file, identity) == std::nullopt);
  }
  overwrite(file, whole + "x");
  CHECK(read_built(file, identity) == std::nullopt);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    overwrite(file, changed);
    CHECK(read_built(file, identity) == std::nullopt);
  }
  overwrite(file, whole);
  CHECK(read_built(file, identity) == program);
}

TEST_CASE("a folder in the place of a built program counts as none, and is left") {
  const layerhub::testing::ScratchCache cache;
  CHECK(read_built(cache.folder().string(), identity) == std::nullopt);
  write_built(cache.folder().string(), identity, program);
  CHECK(boost::filesystem::is_directory(cache.folder()));
}
#endif
