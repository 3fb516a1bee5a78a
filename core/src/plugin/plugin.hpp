// SPDX-License-Identifier: Apache-2.0
// The libraries that are open in this process. One library is opened once, however many layers ask for it at once, and
// stays open as long as a binding holds it, or for good where the plugin does not say that it may be unloaded.
#pragma once

#include "plugin/library.hpp"

#include <memory>
#include <string>
#include <vector>

namespace layerhub::plugin {

// What the metadata promised; the library must say the same.
struct Expected {
  std::string repo, revision;    // empty: a local repository, whose metadata names them
  std::string build_id;
  std::uint32_t abi_major = LH_ABI_MAJOR;
  std::vector<Kernel> kernels;   // of this library: names, capability, features, traits, signature, arguments, attributes
};

class Plugin {
 public:
  Plugin(Library library, std::string repo, std::string revision, std::string variant);
  ~Plugin();
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  const Descriptor& descriptor() const noexcept { return library_.descriptor; }
  const boost::filesystem::path& path() const noexcept { return library_.path; }
  const FileIdentity& identity() const noexcept { return library_.identity; }
  const std::string& repo() const noexcept { return repo_; }
  const std::string& revision() const noexcept { return revision_; }
  const std::string& variant() const noexcept { return variant_; }

 private:
  Library library_;
  std::string repo_, revision_, variant_;
};

// The open library of that file, or a fresh one. `variant` is for listings. Two threads that ask at once open it once.
// Refused: what open_library refuses, and bad_metadata where the library contradicts what was expected of it; then it is
// closed again. [thread-safe]
Result<std::shared_ptr<const Plugin>> load_plugin(const boost::filesystem::path& file, const Expected& expected,
                                                  const std::string& variant);

// Those that are open now. [thread-safe]
std::vector<std::shared_ptr<const Plugin>> open_plugins();

}  // namespace layerhub::plugin
