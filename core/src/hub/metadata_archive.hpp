// SPDX-License-Identifier: Apache-2.0
// The fields of a resolution, for base/archive.hpp. A field that is forgotten here comes back empty:
// tests/unit/hub/metadata_archive_test.cpp sets and compares all of them.
#pragma once

#include "base/archive.hpp"
#include "hub/resolver.hpp"

namespace layerhub::hub {

template <class Archive, same_value_as<Argument> A>
void fields(Archive& archive, A& argument) {
  archive(argument.name, argument.kind, argument.optional, argument.formats);
}

template <class Archive, same_value_as<Attribute> A>
void fields(Archive& archive, A& attribute) {
  archive(attribute.name, attribute.kind, attribute.required);
}

template <class Archive, same_value_as<KernelInfo> K>
void fields(Archive& archive, K& kernel) {
  archive(kernel.layer, kernel.implementation, kernel.device, kernel.kind, kernel.min_capability,
          kernel.max_capability, kernel.features, kernel.traits, kernel.has_backward, kernel.signature,
          kernel.arguments, kernel.attributes);
}

template <class Archive, same_value_as<LibraryInfo> L>
void fields(Archive& archive, L& library) {
  archive(library.file, library.capability, library.features, library.build_id, library.toolchain, library.runtime,
          library.kernels);
}

template <class Archive, same_value_as<Digest> D>
void fields(Archive& archive, D& digest) {
  archive(digest.algorithm, digest.files);
}

template <class Archive, same_value_as<Metadata> M>
void fields(Archive& archive, M& metadata) {
  archive(metadata.id, metadata.name, metadata.license, metadata.version, metadata.backend, metadata.archs,
          metadata.abi_major, metadata.abi_minor, metadata.repo, metadata.revision, metadata.libraries,
          metadata.digest, metadata.commit, metadata.dirty);
}

template <class Archive, same_value_as<RepositoryRef> R>
void fields(Archive& archive, R& ref) {
  archive(ref.repo_id, ref.revision, ref.version, ref.local, ref.lock_file);
}

template <class Archive, same_value_as<Resolved> R>
void fields(Archive& archive, R& resolved) {
  archive(resolved.ref, resolved.folder, resolved.variant, resolved.metadata, resolved.trace, resolved.newer_version,
          resolved.notes);
}

}  // namespace layerhub::hub
