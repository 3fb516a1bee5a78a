// SPDX-License-Identifier: Apache-2.0
#include "plugin/plugin.hpp"

#include "plugin/error_text.hpp"

#include "base/event.hpp"
#include "base/log.hpp"
#include "base/reason.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>

namespace layerhub::plugin {
namespace {

// Never destroyed: libraries that stay resident are held here until the process ends, and the system unmaps them.
struct Registry {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<const Plugin>> open;  // by canonical path
  std::map<std::string, std::shared_ptr<const Plugin>> resident;

  std::shared_ptr<const Plugin> find(const std::string& path) const {
    const auto found = open.find(path);
    return found == open.end() ? nullptr : found->second.lock();
  }
};
Registry& registry() {
  static Registry& instance = *new Registry;
  return instance;
}

std::string text_of(const std::string& text) { return text; }
std::string text_of(const std::vector<std::string>& texts) { return fmt::format("{}", fmt::join(texts, ",")); }
std::string text_of(std::uint32_t number) { return std::to_string(number); }
std::string text_of(std::uint64_t signature) { return fmt::format("{:016x}", signature); }
std::string text_of(bool flag) { return flag ? "yes" : "no"; }

// "" where the two are the same, as they nearly always are: no text is made then.
template <class Value>
std::string differs(std::string_view what, const Value& metadata, const Value& library) {
  return metadata == library ? ""
                             : fmt::format("{} is `{}` in metadata.json and `{}` in the library", what,
                                           printable(text_of(metadata)), printable(text_of(library)));
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

bool same_arguments(const hub::KernelInfo& a, const hub::KernelInfo& b) {
  const auto same_argument = [](const hub::Argument& x, const hub::Argument& y) {
    return x.kind == y.kind && x.optional == y.optional && x.name == y.name;
  };
  const auto same_attribute = [](const hub::Attribute& x, const hub::Attribute& y) {
    return x.kind == y.kind && x.required == y.required && x.name == y.name;
  };
  return std::equal(a.arguments.begin(), a.arguments.end(), b.arguments.begin(), b.arguments.end(), same_argument) &&
         std::equal(a.attributes.begin(), a.attributes.end(), b.attributes.begin(), b.attributes.end(),
                    same_attribute);
}

std::string describe_kernel(const hub::KernelInfo& kernel) {
  return fmt::format("{}:{}", kernel.layer, kernel.implementation);
}

std::string kernel_difference(const hub::KernelInfo& promised, const hub::KernelInfo& found) {
  std::string text;
  const auto same = [&](std::string_view what, const auto& metadata, const auto& library) {
    text = differs(what, metadata, library);
    return text.empty();
  };
  const bool all_same = same("the signature", promised.signature, found.signature) &&
                        same("the lowest capability", promised.min_capability, found.min_capability) &&
                        same("the highest capability", promised.max_capability, found.max_capability) &&
                        same("the features", promised.features, found.features) &&
                        (same_arguments(promised, found) ||
                         same("the arguments", describe_arguments(promised), describe_arguments(found))) &&
                        same("the traits", promised.traits, found.traits) &&
                        same("training", promised.has_backward, found.has_backward);
  return all_same ? "" : fmt::format("of {} {}", describe_kernel(promised), text);
}

// The first thing in which the library is not what its metadata says, or "".
std::string difference(const hub::Metadata& metadata, const hub::LibraryInfo& library, const Descriptor& found) {
  for (const auto& [what, promised, said] : {std::tuple("the repository", &metadata.repo, &found.repo),
                                             std::tuple("the revision", &metadata.revision, &found.revision),
                                             std::tuple("the build id", &library.build_id, &found.build_id)}) {
    if (std::string text = differs(what, *promised, *said); !text.empty()) {
      return text;
    }
  }
  const auto named_as = [](const hub::KernelInfo& kernel) {
    return [&kernel](const hub::KernelInfo& k) {
      return k.layer == kernel.layer && k.implementation == kernel.implementation;
    };
  };
  for (const Kernel& kernel : found.kernels) {
    const auto promised = std::find_if(library.kernels.begin(), library.kernels.end(), named_as(kernel));
    if (promised == library.kernels.end()) {
      return fmt::format("the library has the kernel {}, metadata.json does not", describe_kernel(kernel));
    }
    if (std::string text = kernel_difference(*promised, kernel); !text.empty()) {
      return text;
    }
  }
  for (const hub::KernelInfo& kernel : library.kernels) {
    if (std::none_of(found.kernels.begin(), found.kernels.end(), named_as(kernel))) {
      return fmt::format("metadata.json has the kernel {}, the library does not", describe_kernel(kernel));
    }
  }
  return differs("the number of kernels", static_cast<std::uint32_t>(library.kernels.size()),
                 static_cast<std::uint32_t>(found.kernels.size()));  // one that stands there twice
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

namespace {

// The open library of this path. Refused where its file is no longer the one that was opened.
Result<std::shared_ptr<const Plugin>> find_open(const std::string& path) {
  const std::shared_ptr<const Plugin> plugin = registry().find(path);
  if (plugin == nullptr) {
    return plugin;
  }
  BOOST_OUTCOME_TRY(const FileIdentity now, file_identity(path));
  if (!(now == plugin->identity())) {
    return make_reason(ErrorCode::bad_library, "library",
                       fmt::format("{}: it was replaced while this process has it open; publish a changed plugin as a "
                                   "new revision, or restart",
                                   path));
  }
  return plugin;
}

Result<std::shared_ptr<const Plugin>> open_plugin(const hub::Resolved& resolved, const hub::LibraryInfo& library,
                                                  const Inspected& inspected) {
  const std::string path = inspected.path.string();
  BOOST_OUTCOME_TRY(Library opened, open_library(inspected));
  BOOST_OUTCOME_TRY(check_promised(resolved.metadata, library, opened.descriptor, path));
  const bool unloadable = (opened.descriptor.flags & LH_PLUGIN_UNLOADABLE) != 0;
  auto plugin = std::make_shared<const Plugin>(std::move(opened), resolved.metadata.repo, resolved.metadata.revision,
                                               resolved.variant, resolved.ref.local.has_value());
  registry().open[path] = plugin;
  if (!unloadable) {
    registry().resident[path] = plugin;
  }
  return plugin;
}

}  // namespace

Result<std::shared_ptr<const Plugin>> load_plugin(const hub::Resolved& resolved, const hub::LibraryInfo& library) {
  const boost::filesystem::path file = resolved.folder / library.file;
  std::lock_guard lock(registry().mutex);  // held while a library opens: whoever asks for the same one waits for it
  BOOST_OUTCOME_TRY(std::shared_ptr<const Plugin> plugin, find_open(file.string()));
  if (plugin == nullptr) {  // not by this name; a link may stand in it
    BOOST_OUTCOME_TRY(const Inspected inspected, inspect_library(file));
    BOOST_OUTCOME_TRY(plugin, find_open(inspected.path.string()));
    if (plugin == nullptr) {
      return open_plugin(resolved, library, inspected);
    }
  }
  BOOST_OUTCOME_TRY(check_promised(resolved.metadata, library, plugin->descriptor(), plugin->path().string()));
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
