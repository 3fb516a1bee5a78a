// SPDX-License-Identifier: Apache-2.0
// layerhub-describe-plugin: opens the libraries of one fresh variant, asks each what it has, prints metadata.json.
//
//   layerhub-describe-plugin --repo org/name --revision v1 --license Apache-2.0 --backend cpu [--archs 8.0,9.0a]
//                            FILE:CAPABILITY:FEATURES...
//
// So that the table a loader decides from is made from the library itself and can't drift from it. Only the query is
// called, which is baseline code: a library for AVX-512 is described on a machine without it. Writes JSON by hand: the
// SDK needs nothing but DLPack.
#include <layerhub/abi.h>
#include <layerhub/abi/device.h>
#include <layerhub/sdk/call.hpp>
#include <layerhub/sdk/signature.hpp>

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

using layerhub::sdk::view;

struct Options {
  std::map<std::string, std::string> named;  // repo, revision, license, backend; archs where the backend has them
  std::vector<std::string> libraries;        // file:capability:features
};

[[noreturn]] void stop(const std::string& message) {
  std::fprintf(stderr, "layerhub-describe-plugin: %s\n", message.c_str());
  std::exit(1);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--")) {
      if (i + 1 == argc) {
        stop(argument + ": no value follows");
      }
      options.named[argument.substr(2)] = argv[++i];
    } else {
      options.libraries.push_back(argument);
    }
  }
  for (const char* needed : {"repo", "revision", "license", "backend"}) {
    if (!options.named.contains(needed)) {
      stop(std::string("--") + needed + " is missing");
    }
  }
  if (options.libraries.empty()) {
    stop("no library given; name at least one FILE:CAPABILITY:FEATURES");
  }
  return options;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string array_of(const std::vector<std::string>& values) {
  std::string out = "[";
  for (const std::string& value : values) {
    out += (out.size() > 1 ? ", " : "") + value;
  }
  return out + "]";
}

// "a,b" -> ["a", "b"]
std::string list_of(std::string_view text) {
  std::vector<std::string> values;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    values.push_back(quoted(text.substr(0, comma)));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return array_of(values);
}

std::string dtype_name(DLDataType dtype) {
  const char* base = dtype.code == kDLFloat    ? "float"
                     : dtype.code == kDLBfloat ? "bfloat"
                     : dtype.code == kDLInt    ? "int"
                                               : "uint";
  return base + std::to_string(dtype.bits);
}

std::string_view argument_kind(std::uint32_t kind) {
  constexpr std::string_view names[] = {"", "input", "param", "output", "state", "saved", "int", "float"};
  return kind < std::size(names) ? names[kind] : "";
}

std::string_view attribute_kind(std::uint32_t kind) {
  constexpr std::string_view names[] = {"", "int", "float", "bool", "string", "ints"};
  return kind < std::size(names) ? names[kind] : "";
}

// The dtypes that the constraints leave to an argument; every constraint of the kind narrows them. Empty: not stated.
std::string dtypes_of(const lh_kernel& kernel, std::uint32_t argument) {
  std::vector<std::string> names;
  bool stated = false;
  for (std::uint32_t i = 0; i < kernel.n_constraints; ++i) {
    const lh_constraint& constraint = kernel.constraints[i];
    if (constraint.kind != LH_C_DTYPE_IN || constraint.arg != argument) {
      continue;
    }
    std::vector<std::string> allowed;
    for (std::uint32_t d = 0; d < constraint.n_dtypes; ++d) {
      allowed.push_back(quoted(dtype_name(constraint.dtypes[d])));
    }
    if (!stated) {
      names = allowed;
    } else {
      std::erase_if(names, [&](const std::string& name) {
        return std::find(allowed.begin(), allowed.end(), name) == allowed.end();
      });
    }
    stated = true;
  }
  return array_of(names);
}

std::string arguments_of(const lh_kernel& kernel) {
  std::vector<std::string> out;
  for (std::uint32_t i = 0; i < kernel.n_args; ++i) {
    const lh_arg& argument = kernel.args[i];
    out.push_back("{\"name\": " + quoted(view(argument.name)) + ", \"kind\": " + quoted(argument_kind(argument.kind)) +
                  ", \"optional\": " + (argument.optional ? "true" : "false") +
                  ", \"formats\": " + list_of(view(argument.formats)) + ", \"dtypes\": " + dtypes_of(kernel, i) + "}");
  }
  return array_of(out);
}

std::string attributes_of(const lh_kernel& kernel) {
  std::vector<std::string> out;
  for (std::uint32_t i = 0; i < kernel.n_attrs; ++i) {
    const lh_attr_decl& attribute = kernel.attrs[i];
    out.push_back("{\"name\": " + quoted(view(attribute.fallback.name)) +
                  ", \"kind\": " + quoted(attribute_kind(attribute.fallback.kind)) +
                  ", \"required\": " + (attribute.required ? "true" : "false") + "}");
  }
  return array_of(out);
}

std::string modes_of(const lh_kernel& kernel) {
  std::vector<std::string> modes{quoted("inference")};
  if (kernel.backward != nullptr) {
    modes.push_back(quoted("training"));
  }
  if (kernel.traits & LH_TRAIT_CAPTURE_SAFE) {
    modes.push_back(quoted("capture"));
  }
  return array_of(modes);
}

std::string traits_of(const lh_kernel& kernel) {
  std::vector<std::string> traits;
  const std::pair<std::uint32_t, const char*> names[] = {
      {LH_TRAIT_CAPTURE_SAFE, "capture-safe"}, {LH_TRAIT_DETERMINISTIC, "deterministic"},
      {LH_TRAIT_NO_HOST_SYNC, "no-host-sync"}, {LH_TRAIT_OWNS_PARAMS, "owns-params"},
      {LH_TRAIT_NO_WORKSPACE, "no-workspace"}, {LH_TRAIT_CHECKS_TENSORS, "checks-tensors"}};
  for (const auto& [bit, name] : names) {
    if (kernel.traits & bit) {
      traits.push_back(quoted(name));
    }
  }
  return array_of(traits);
}

std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

// As mappings name it; empty for a type that layerhub does not know.
std::string_view device_name(std::int32_t type) {
  switch (type) {
    case kDLCPU: return "cpu";
    case kDLCUDA: return "cuda";
    case kDLROCM: return "rocm";
    case kDLOpenCL: return "opencl";
    default: return {};
  }
}

std::string describe(const lh_kernel& kernel, const std::string& backend) {
  if (device_name(kernel.device_type) != backend) {
    stop("kernel " + std::string(view(kernel.implementation)) + " of " + std::string(view(kernel.layer)) +
         " is for device type " + std::to_string(kernel.device_type) + ", but this build is for " + backend);
  }
  return "        {\"layer\": " + quoted(view(kernel.layer)) +
         ", \"kind\": " + quoted(kernel.kind == LH_KERNEL_FUNCTION ? "function" : "layer") +
         ", \"implementation\": " + quoted(view(kernel.implementation)) + ", \"device\": " + quoted(backend) +
         ",\n         \"min-capability\": " + std::to_string(kernel.min_capability) +
         ", \"max-capability\": " + std::to_string(kernel.max_capability) +
         ", \"features\": " + list_of(view(kernel.required_features)) + ", \"modes\": " + modes_of(kernel) +
         ",\n         \"traits\": " + traits_of(kernel) + ", \"signature\": " + quoted(hex(kernel.signature)) +
         ",\n         \"arguments\": " + arguments_of(kernel) + ",\n         \"attributes\": " + attributes_of(kernel) +
         "}";
}

struct Library {
  std::string file;  // without its folder
  std::string json;  // its object under "libraries"
  std::string build_id;
};

const lh_plugin& query(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    stop(dlerror());
  }
  const auto entry = reinterpret_cast<lh_plugin_query_fn>(dlsym(handle, LH_PLUGIN_QUERY_SYMBOL));
  if (entry == nullptr) {
    stop(path + ": exports no " LH_PLUGIN_QUERY_SYMBOL);
  }
  char text[256];
  lh_error error{sizeof error, 0, text, sizeof text, 0};
  std::uint32_t minor = LH_ABI_MINOR;
  const lh_plugin* plugin = nullptr;
  if (entry(0, &minor, &plugin, &error) != LH_OK) {
    stop(path + ": " + std::string(text, error.length));
  }
  return *plugin;
}

// The order of kernels differs between builds of one source; sorted, the same source gives the same metadata.
std::vector<const lh_kernel*> sorted_kernels(const lh_plugin& plugin) {
  std::vector<const lh_kernel*> kernels(plugin.kernels, plugin.kernels + plugin.n_kernels);
  std::sort(kernels.begin(), kernels.end(), [](const lh_kernel* a, const lh_kernel* b) {
    return std::pair(view(a->layer), view(a->implementation)) < std::pair(view(b->layer), view(b->implementation));
  });
  return kernels;
}

Library read(const std::string& argument, const std::string& backend) {
  const std::size_t second = argument.rfind(':');
  const std::size_t first = second == std::string::npos ? second : argument.rfind(':', second - 1);
  if (first == std::string::npos) {
    stop(argument + ": is not FILE:CAPABILITY:FEATURES");
  }
  const std::string path = argument.substr(0, first);
  const std::string capability = argument.substr(first + 1, second - first - 1);
  const lh_plugin& plugin = query(path);
  const auto* runtime =
      plugin.get_extension == nullptr ? nullptr : static_cast<const lh_device_1*>(plugin.get_extension(LH_DEVICE_1_ID));
  if (plugin.n_kernels == 0 && runtime == nullptr) {
    stop(path + ": it has no kernel and no device runtime; end a source file with LAYERHUB_KERNEL");
  }
  Library library{path.substr(path.rfind('/') + 1), {}, std::string(view(plugin.build_id))};
  library.json = "      {\"file\": " + quoted(library.file) + ", \"capability\": " + capability +
                 ", \"features\": " + list_of(argument.substr(second + 1)) +
                 ", \"build-id\": " + quoted(library.build_id) + ", \"toolchain\": " + quoted(view(plugin.toolchain)) +
                 (runtime == nullptr ? "" : ",\n       \"runtime\": " + quoted(device_name(runtime->device_type))) +
                 ",\n       \"kernels\": [\n";
  std::string separator;
  for (const lh_kernel* kernel : sorted_kernels(plugin)) {
    library.json += separator + describe(*kernel, backend);
    separator = ",\n";
  }
  library.json += "\n       ]}";
  return library;
}

// "v3" -> 3; a revision that is no version branch has none.
int version_of(const std::string& revision) {
  const bool numeric =
      revision.size() > 1 && revision[0] == 'v' && revision.find_first_not_of("0123456789", 1) == std::string::npos;
  return numeric ? static_cast<int>(std::strtol(revision.c_str() + 1, nullptr, 10)) : 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options = parse(argc, argv);
  const std::string& repo = options.named["repo"];
  const std::string& revision = options.named["revision"];
  const std::string& license = options.named["license"];
  const std::string& backend = options.named["backend"];
  const std::string& archs = options.named["archs"];
  std::string libraries;
  layerhub::sdk::Fnv1a id;
  for (const std::string& argument : options.libraries) {
    const Library library = read(argument, backend);
    libraries += (libraries.empty() ? "" : ",\n") + library.json;
    id.add(library.build_id);
  }
  const std::string name = repo.substr(repo.find('/') + 1);
  std::printf(
      "{\n  \"id\": %s,\n  \"name\": %s,\n  \"version\": %d,\n  \"license\": %s,\n  \"backend\": {\"type\": %s%s},\n",
      quoted(name + "-" + backend + "-" + hex(id.value())).c_str(), quoted(name).c_str(), version_of(revision),
      quoted(license).c_str(), quoted(backend).c_str(),
      archs.empty() ? "" : (", \"archs\": " + list_of(archs)).c_str());
  std::printf(
      "  \"layerhub\": {\n    \"abi\": {\"major\": %u, \"minor\": %u},\n    \"repo\": %s,\n    \"revision\": %s,\n    "
      "\"libraries\": [\n%s\n    ]\n  }\n}\n",
      LH_ABI_MAJOR, LH_ABI_MINOR, quoted(repo).c_str(), quoted(revision).c_str(), libraries.c_str());
  return 0;
}
