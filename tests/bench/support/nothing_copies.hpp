// SPDX-License-Identifier: Apache-2.0
// What benches of loading share: the plugin bench/nothing, of which they make copies, and what a host does that keeps
// no metadata, which is dlopen.
#pragma once

#include <fmt/format.h>
#include <boost/filesystem.hpp>

#include <stdexcept>
#include <string>

#include <dlfcn.h>

namespace layerhub::bench {

// The variant of bench/nothing that was built: metadata.json and a library for each level.
inline boost::filesystem::path variant_of_nothing() {
  namespace fs = boost::filesystem;
  const fs::path variants = fs::path(LAYERHUB_BENCH_PLUGIN_ROOT) / "bench" / "nothing" / "v1" / "build";
  return fs::directory_iterator(variants)->path();
}

// It stays open.
inline void open_bare(const std::string& library) {
  void* opened = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr || dlsym(opened, "lh_plugin_query_v1") == nullptr) {
    throw std::runtime_error(fmt::format("{}: {}", library, dlerror()));
  }
}

}  // namespace layerhub::bench
