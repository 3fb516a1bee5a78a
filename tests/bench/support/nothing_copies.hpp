// SPDX-License-Identifier: Apache-2.0
// What benches of loading share: a folder for copies of the plugin bench/nothing, and what a host does that keeps no
// metadata, which is dlopen.
#pragma once

#include <fmt/format.h>
#include <boost/filesystem.hpp>

#include <stdexcept>
#include <string>

#include <dlfcn.h>

namespace layerhub::bench {

// For as long as this object is there.
class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(boost::filesystem::temp_directory_path() / boost::filesystem::unique_path("layerhub-bench-%%%%%%%%")) {
    boost::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    boost::system::error_code ignored;
    boost::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const boost::filesystem::path& path() const { return path_; }

 private:
  boost::filesystem::path path_;
};

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
