// SPDX-License-Identifier: Apache-2.0
// The libraries that are open in this process. One library is opened once, however many layers ask for it at once, and
// stays open as long as a binding holds it, or for good where the plugin does not say that it may be unloaded.
#pragma once

#include "hub/resolver.hpp"
#include "plugin/library.hpp"

#include <memory>
#include <string>
#include <vector>

namespace layerhub::plugin {

class Plugin {
 public:
  Plugin(Library library, std::string repo, std::string revision, std::string variant, bool is_local);
  ~Plugin();
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  const Descriptor& descriptor() const noexcept { return library_.descriptor; }
  const boost::filesystem::path& path() const noexcept { return library_.path; }
  const FileIdentity& identity() const noexcept { return library_.identity; }
  const std::string& repo() const noexcept { return repo_; }
  const std::string& revision() const noexcept { return revision_; }
  const std::string& variant() const noexcept { return variant_; }
  bool is_local() const noexcept { return is_local_; }  // it was first asked for by a path

 private:
  Library library_;
  std::string repo_, revision_, variant_;
  bool is_local_;
};

// The open library of a resolved variant, or a fresh one; two threads that ask at once open it once. The metadata
// promised what the library then must say of itself.
// Refused: what open_library refuses, and bad_metadata where the library contradicts what was expected of it; then
// it is closed again. [thread-safe]
Result<std::shared_ptr<const Plugin>> load_plugin(const hub::Resolved& resolved, const hub::LibraryInfo& library);

// Those that are open now. [thread-safe]
std::vector<std::shared_ptr<const Plugin>> open_plugins();

}  // namespace layerhub::plugin
