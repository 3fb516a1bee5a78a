// SPDX-License-Identifier: Apache-2.0
#include "plugin/plugin.hpp"

#include "plugin/error_text.hpp"

#include "base/event.hpp"
#include "base/log.hpp"
#include "base/reason.hpp"

#include <boost/filesystem/operations.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <mutex>

namespace layerhub::plugin {
namespace {

// Never destroyed: libraries that stay resident are held here until the process ends, and the system unmaps them.
struct Registry {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<const Plugin>> open;  // by canonical path
  std::map<std::string, std::shared_ptr<const Plugin>> resident;
};
Registry& registry() {
  static Registry& instance = *new Registry;
  return instance;
}

std::string differs(const std::string& what, const std::string& metadata, const std::string& library) {
  return metadata == library ? ""
                             : fmt::format("{} is `{}` in metadata.json and `{}` in the library", what,
                                           printable(metadata), printable(library));
}

std::string describe_arguments(const hub::KernelInfo& kernel) {
  std::string text;
  for (const hub::Argument& a : kernel.arguments) {
    text +=
        fmt::format("{}{} {}{}", text.empty() ? "" : ", ", argument_kind_name(a.kind), a.name, a.optional ? "?" : "");
  }
  for (const hub::Attribute& a : kernel.attributes) {
    text += fmt::format(", attribute {} {}{}", attribute_kind_name(a.kind), a.name, a.required ? "" : "?");
  }
  return text;
}

std::string describe_kernel(const hub::KernelInfo& kernel) {
  return fmt::format("{}:{}", kernel.layer, kernel.implementation);
}

std::string kernel_difference(const hub::KernelInfo& promised, const hub::KernelInfo& found) {
  const std::string name = "of " + describe_kernel(promised) + " ";
  for (const std::string& difference :
       {differs(name + "the signature", fmt::format("{:016x}", promised.signature),
                fmt::format("{:016x}", found.signature)),
        differs(name + "the lowest capability", std::to_string(promised.min_capability),
                std::to_string(found.min_capability)),
        differs(name + "the highest capability", std::to_string(promised.max_capability),
                std::to_string(found.max_capability)),
        differs(name + "the features", fmt::format("{}", fmt::join(promised.features, ",")),
                fmt::format("{}", fmt::join(found.features, ","))),
        differs(name + "the arguments", describe_arguments(promised), describe_arguments(found)),
        differs(name + "the traits", std::to_string(promised.traits), std::to_string(found.traits)),
        differs(name + "training", promised.has_backward ? "yes" : "no", found.has_backward ? "yes" : "no")}) {
    if (!difference.empty()) {
      return difference;
    }
  }
  return {};
}

// The first thing in which the library is not what its metadata says, or "".
std::string difference(const hub::Metadata& metadata, const hub::LibraryInfo& library, const Descriptor& found) {
  for (const std::string& text : {differs("the repository", metadata.repo, found.repo),
                                  differs("the revision", metadata.revision, found.revision),
                                  differs("the build id", library.build_id, found.build_id)}) {
    if (!text.empty()) {
      return text;
    }
  }
  std::map<std::string, const hub::KernelInfo*> promised;
  for (const hub::KernelInfo& kernel : library.kernels) {
    promised[describe_kernel(kernel)] = &kernel;
  }
  for (const Kernel& kernel : found.kernels) {
    const auto at = promised.find(describe_kernel(kernel));
    if (at == promised.end()) {
      return fmt::format("the library has the kernel {}, metadata.json does not", describe_kernel(kernel));
    }
    if (std::string text = kernel_difference(*at->second, kernel); !text.empty()) {
      return text;
    }
    promised.erase(at);
  }
  return promised.empty()
             ? ""
             : fmt::format("metadata.json has the kernel {}, the library does not", promised.begin()->first);
}

Result<void> check_promised(const hub::Metadata& metadata, const hub::LibraryInfo& library, const Descriptor& found,
                            const std::string& name) {
  const std::string text = difference(metadata, library, found);
  if (text.empty()) {
    return success();
  }
  return make_reason(
      ErrorCode::bad_metadata, "descriptor",
      fmt::format("{}: {}; build or install the plugin again, the two must come from one build", name, text));
}

}  // namespace

Plugin::Plugin(Library library, std::string repo, std::string revision, std::string variant, bool is_local)
    : library_(std::move(library)),
      repo_(std::move(repo)),
      revision_(std::move(revision)),
      variant_(std::move(variant)),
      is_local_(is_local) {
  log(LogLevel::info, "opened {} ({}@{})", library_.path.string(), repo_, revision_);
  notify({EventKind::loaded, {}, {}, library_.path.string()});
}

Plugin::~Plugin() {
  log(LogLevel::info, "closing {}", library_.path.string());
  if (library_.descriptor.shutdown != nullptr) {
    ErrorText text;
    if (library_.descriptor.shutdown(&text.error) != LH_OK) {
      log(LogLevel::warn, "{}: its shutdown failed: {}", library_.path.string(), text.said());
    }
  }
}

Result<std::shared_ptr<const Plugin>> load_plugin(const hub::Resolved& resolved, const hub::LibraryInfo& library) {
  const boost::filesystem::path file = resolved.folder / library.file;
  boost::system::error_code no_file;
  const boost::filesystem::path real = boost::filesystem::canonical(file, no_file);
  const std::string key = (no_file ? file : real).string();
  Registry& known = registry();
  std::lock_guard lock(known.mutex);  // held while a library opens: whoever asks for the same one waits for it
  if (const auto found = known.open.find(key); found != known.open.end()) {
    if (std::shared_ptr<const Plugin> plugin = found->second.lock()) {
      BOOST_OUTCOME_TRY(const FileIdentity now, file_identity(file));
      if (!(now == plugin->identity())) {
        return make_reason(
            ErrorCode::bad_library, "library",
            fmt::format("{}: it was replaced while this process has it open; publish a changed plugin as a "
                        "new revision, or restart",
                        key));
      }
      BOOST_OUTCOME_TRY(check_promised(resolved.metadata, library, plugin->descriptor(), key));
      return plugin;
    }
  }
  BOOST_OUTCOME_TRY(Library opened, open_library(file));
  BOOST_OUTCOME_TRY(check_promised(resolved.metadata, library, opened.descriptor, key));
  const bool unloadable = (opened.descriptor.flags & LH_PLUGIN_UNLOADABLE) != 0;
  auto plugin = std::make_shared<const Plugin>(std::move(opened), resolved.metadata.repo, resolved.metadata.revision,
                                               resolved.variant, resolved.ref.local.has_value());
  known.open[key] = plugin;
  if (!unloadable) {
    known.resident[key] = plugin;
  }
  return plugin;
}

std::vector<std::shared_ptr<const Plugin>> open_plugins() {
  std::vector<std::shared_ptr<const Plugin>> plugins;
  std::lock_guard lock(registry().mutex);
  for (const auto& [path, weak] : registry().open) {
    if (std::shared_ptr<const Plugin> plugin = weak.lock()) {
      plugins.push_back(std::move(plugin));
    }
  }
  return plugins;
}

}  // namespace layerhub::plugin
