// SPDX-License-Identifier: Apache-2.0
#include "hub/metadata_archive.hpp"

#include "support/catch.hpp"

using namespace layerhub;
using namespace layerhub::hub;

namespace {

// No field is as a fresh value has it, so that one that is not written shows.
Resolved full() {
  const Argument argument{.name = "x", .kind = LH_ARG_PARAM, .optional = true, .formats = {"gguf.q4_1"}};
  const Attribute attribute{.name = "epsilon", .kind = LH_ATTR_FLOAT, .required = false};
  const KernelInfo kernel{.layer = "L", .implementation = "i", .device = "cpu", .kind = LH_KERNEL_FUNCTION,
                          .min_capability = 2, .max_capability = 4, .features = {"f"},
                          .traits = LH_TRAIT_CAPTURE_SAFE, .has_backward = true, .signature = ~std::uint64_t{7},
                          .arguments = {argument, argument}, .attributes = {attribute}};
  const LibraryInfo library{.file = "l.so", .capability = 3, .features = {"avx_vnni"}, .build_id = "b",
                            .toolchain = "t", .runtime = "opencl", .kernels = {kernel}};
  Resolved all;
  all.ref = {.repo_id = "org/a", .revision = "v1", .version = 1, .local = "/local", .lock_file = "/lock"};
  all.folder = "/folder";
  all.variant = "variant";
  all.metadata = {.id = "id", .name = "name", .license = "l", .version = 5, .backend = "cuda", .archs = {"9.0a"},
                  .abi_major = 1, .abi_minor = 2, .repo = "org/a", .revision = "v1", .libraries = {library, library},
                  .digest = Digest{"sha256", {{"a", "1"}, {"b", "2"}}}, .commit = "c", .dirty = true};
  all.trace = {"one", std::string("t\0o", 3)};
  all.newer_version = 3;
  all.notes = {"note"};
  return all;
}

}  // namespace

TEST_CASE("a resolution comes back from its bytes with every field") {
  ArchiveWriter writer;
  writer(full());
  Resolved back;
  ArchiveReader reader(writer.bytes());
  reader(back);
  CHECK(reader.is_complete());
  CHECK(back == full());
}

TEST_CASE("bytes that end too early, go on or claim more than is there are no resolution, and are read within bounds") {
  ArchiveWriter writer;
  writer(full());
  for (std::size_t size = 0; size < writer.bytes().size(); ++size) {
    Resolved back;
    ArchiveReader reader(std::string_view(writer.bytes()).substr(0, size));
    reader(back);
    CHECK_FALSE(reader.is_complete());
  }
  for (std::size_t at = 0; at < writer.bytes().size(); ++at) {
    std::string huge = writer.bytes();
    huge[at] = '\xff';
    Resolved back;
    ArchiveReader reader(huge);
    reader(back);
  }
  Resolved back;
  const std::string longer = writer.bytes() + "x";
  ArchiveReader reader(longer);
  reader(back);
  CHECK_FALSE(reader.is_complete());
}
